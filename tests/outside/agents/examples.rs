//! The agents in `examples/`, started as `docs/agents.md` and their own comments describe.

use arizuko_tests::prelude::*;
use arizuko_tests::{
    language::{package, repository},
    tools,
};

/// Makes a Python environment that uses the packages that `tests/run` has installed. Returns its
/// interpreter.
async fn environment(folder: &Path) -> PathBuf {
    let mut venv = command(tools::interpreter());
    run(venv.args(["-m", "venv", "--without-pip"]).arg(folder), "").await.expect(0);
    let mut find = command(tools::interpreter());
    let found = run(find.args(["-c", "import grpc; print(grpc.__path__[0])"]), "").await.expect(0);
    let packages = Path::new(found.out.trim()).parent().expect("it is in a folder").to_owned();
    let version = packages.parent().and_then(Path::file_name).expect("it is Python's");
    let names_others = folder.join("lib").join(version).join("site-packages/tests.pth");
    fs::write(names_others, packages.display().to_string()).expect("the folder is ours");
    folder.join("bin/python")
}

#[apply(embedded)]
async fn the_python_package_installs_and_its_documented_agents_answer(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let checkout = stack.folder().join("checkout");
    for folder in ["proto/arizuko/v1", "examples/python", "examples/python/arizuko_agent"] {
        copy(&repository().join(folder), &checkout.join(folder));
    }
    let docs = fs::read_to_string(repository().join("docs/agents.md")).expect("it is there");
    let python = environment(&stack.folder().join("venv")).await;
    let with_python = |folder: &Path| {
        let mut command = command(&python);
        command.current_dir(folder);
        command
    };
    let install = docs.lines().find_map(|line| line.strip_prefix("    python -m pip install "));
    let mut pip = with_python(&checkout);
    pip.args(["-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index"]);
    run(pip.arg(install.expect("the documentation says how")), "").await.expect(0);
    // Nothing of the checkout is needed any longer.
    let echo = stack.folder().join("echo.py");
    fs::rename(checkout.join("examples/python/echo.py"), &echo).expect("the folder is ours");
    fs::remove_dir_all(&checkout).expect("the folder is ours");
    let mut typed = with_python(&stack.folder());
    let asks = "from importlib.resources import files as f; \
        print(*((f(p) / 'py.typed').is_file() for p in ('arizuko_agent', 'arizuko')))";
    assert_eq!(run(typed.args(["-c", asks]), "").await.expect(0).out, "True True\n");

    let mut repeats = with_python(&stack.folder());
    repeats.arg(&echo);
    repeats_each_word(&stack, repeats).await;

    let agent = docs.lines().skip_while(|line| *line != "    from arizuko_agent import Agent");
    let agent = agent.take_while(|line| line.is_empty() || line.starts_with("    "));
    let agent: Vec<_> = agent.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    assert!((3..=10).contains(&agent.len()), "{agent:?}");
    let mut documented = with_python(&stack.folder());
    documented.args(["-c", &agent.join("\n")]).env("ARIZUKO_CONTROL", stack.control(A));
    documented.env("ARIZUKO_KEY", stack.agent_key("acme").await);
    let visitor = stack.visit("acme").await;
    let _agent = Process::start("agent", documented, &stack.logs());
    let posted = visitor.say("hello").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "You said: hello");
}

#[apply(embedded)]
async fn the_typescript_example_issues_a_link_and_answers_on_it(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let mut echo = command(found("node"));
    echo.arg(package().join("dist/echo.js"));
    repeats_each_word(&stack, echo).await;
}

/// Starts the example `echo`, and reads what it answers on the link that it prints.
async fn repeats_each_word(stack: &Stack, mut echo: tokio::process::Command) {
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
async fn the_packed_typescript_package_has_what_the_documented_agent_needs(stack: Stack) {
    let project = stack.folder().join("project");
    let modules = project.join("node_modules");
    fs::create_dir_all(&modules).expect("the stack's folder is ours");
    let in_project = |program: &Path| {
        let mut command = command(program);
        command.current_dir(&project);
        command
    };
    let built = package();
    let mut pack = in_project(&found("npm"));
    pack.args(["pack", "--silent"]).arg(&built);
    let packed = run(&mut pack, "").await.expect(0).out;
    let mut unpack = in_project(&found("tar"));
    run(unpack.args(["--extract", "--file", packed.trim()]), "").await.expect(0);
    assert!(project.join("package/LICENSE").exists());
    // Installs the package as npm would, but without npm's registry.
    fs::rename(project.join("package"), modules.join("arizuko-agent")).expect("npm calls it so");
    for needed in ["@bufbuild", "@connectrpc", "@types"] {
        let installed = built.join("node_modules").join(needed);
        std::os::unix::fs::symlink(installed, modules.join(needed)).expect("the folder is ours");
    }

    let docs = fs::read_to_string(repository().join("docs/agents.md")).expect("it is there");
    let agent = docs.lines().skip_while(|line| !line.ends_with("from \"arizuko-agent\";"));
    let agent = agent.take_while(|line| line.is_empty() || line.starts_with("    "));
    let agent: Vec<_> = agent.collect();
    assert!((3..=10).contains(&agent.len()), "{agent:?}");
    fs::write(project.join("agent.mts"), agent.join("\n")).expect("the folder is ours");
    let mut tsc = in_project(&built.join("node_modules/.bin/tsc"));
    tsc.args(["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]);
    run(tsc.arg("agent.mts"), "").await.expect(0);

    let visitor = stack.visit("acme").await;
    let mut agent = in_project(&found("node"));
    agent.arg("agent.mjs").env("ARIZUKO_CONTROL", stack.control(A));
    agent.env("ARIZUKO_KEY", stack.agent_key("acme").await);
    let _agent = Process::start("agent", agent, &stack.logs());
    let posted = visitor.say("hello").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "You said: hello");
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
