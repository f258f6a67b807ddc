//! The agents in `examples/`, started as `docs/agents.md` and their own comments describe.

use arizuko_tests::prelude::*;
use arizuko_tests::{python::repository, tools};
use std::env;

#[apply(embedded)]
async fn the_python_example_issues_a_link_and_answers_on_it(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let checkout = stack.folder().join("checkout");
    for folder in ["proto/arizuko/v1", "examples/python"] {
        copy(&repository().join(folder), &checkout.join(folder));
    }
    let docs = fs::read_to_string(repository().join("docs/agents.md")).expect("it is there");
    let make_stubs = docs.lines().find(|line| line.contains("grpc_tools.protoc"));
    let in_checkout = |line: &str| {
        let mut shell = command("sh");
        let python = tools::interpreter();
        let path = [
            python.parent().expect("it is in a folder").into(),
            env::var_os("PATH").unwrap_or_default(),
        ];
        shell.args(["-c", line]).current_dir(&checkout);
        shell.env("PATH", path.join(":".as_ref()));
        shell
    };
    let make_stubs = make_stubs.expect("the documentation says how").trim();
    run(&mut in_checkout(make_stubs), "").await.expect(0);

    let mut echo = in_checkout("exec python examples/python/echo.py");
    echo.env("ARIZUKO_CONTROL", stack.control(A));
    echo.env("ARIZUKO_KEY", stack.agent_key("acme/eng").await);
    let mut echo = Process::start("echo", echo, &stack.logs());
    let url = echo.line().await;
    let path = url.strip_prefix(&stack.gateway(A)).expect("it is ours");
    let visitor = stack.at(A, path);
    let posted = visitor.say("hello big world").await;
    let seen = visitor.read(&posted.turn).await;
    let expected = ["status", "delta", "delta", "delta", "turn_done"];
    assert_eq!(names(&seen), expected);
    assert_eq!(transcript(&seen)[0].1, "hello big world ");
}

#[apply(embedded)]
async fn the_bash_example_answers(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let script = fs::read_to_string(repository().join("examples/bash/agent.sh"));
    let script = script.expect("it is there");
    let how = script.lines().find_map(|line| line.strip_prefix("#   arizuko "));
    let arguments = how.expect("it says how to run it").split(' ');
    let mut exec = stack.operators_command();
    exec.args(arguments).current_dir(repository());
    let _agent = Process::start("agent", exec, &stack.logs());
    let posted = visitor.say("hello").await;
    let seen = visitor.read(&posted.turn).await;
    assert!(names(&seen).contains(&"status"));
    assert_eq!(transcript(&seen)[0].1, "You came by web:acme and said: hello");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the stack's folder is ours");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("it can be read");
        // Skips the folder of generated stubs, if there is one.
        if file.path().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).expect("there is room");
        }
    }
}
