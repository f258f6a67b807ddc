//! `arizuko backup` and `restore`: the embedded store as one file.

use arizuko_tests::prelude::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

/// Runs `arizuko` without a control or key in its environment.
async fn arizuko(stack: &Stack, arguments: &[&str]) -> arizuko_tests::cli::Outcome {
    run(stack.program("arizuko").args(arguments), "").await
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[apply(embedded)]
async fn a_backup_of_a_running_up_is_a_snapshot(mut stack: Stack) {
    let (link, later) = (stack.issue("acme").await, stack.issue("acme").await);
    let posted = stack.visitor(&link, A).say("hello").await;
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("kept").await;
    let waiting = stack.visitor(&link, A).say("and this?").await;

    let (data, file) = (path(&stack.data_dir()), stack.folder().join("backup"));
    let made = arizuko(&stack, &["backup", &path(&file), "--data-dir", &data]).await;
    assert_eq!(made.expect(0).out.trim(), path(&file));
    let mode = fs::metadata(&file).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read it");
    // Later changes are not in the backup.
    stack.visitor(&link, A).say("too late").await;
    stack.revoke(&later.token_id).await;
    agent.vanish();

    stack.cut_the_power();
    let key = stack.data_dir().join("operator.key");
    let key = fs::read_to_string(key).expect("`up` has made it");
    fs::remove_dir_all(stack.data_dir()).expect("it is ours");
    let restored = arizuko(&stack, &["restore", &path(&file), "--data-dir", &data]).await;
    assert!(restored.err.contains("revoked since"), "{restored:?}");
    write_secret(&stack.data_dir().join("operator.key"), &key);
    stack.power_up().await;
    let visitor = stack.visitor(&link, A);
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "kept");
    stack.visitor(&later, A).get("config").await.expect(200);
    let mut agent = stack.attach("acme", A).await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, waiting.turn, "the queued turn is still queued");
    agent.answer(held, "it is").await;
}

#[apply(embedded)]
async fn a_backup_goes_to_standard_output_and_back_to_the_owner_of_its_folder(stack: Stack) {
    stack.issue("acme").await;
    let (made, other) = (stack.folder().join("backup"), stack.folder().join("other"));
    let mut backup = stack.program("arizuko");
    backup.args(["backup", "-", "--data-dir", &path(&stack.data_dir())]);
    let told = backup.output().await.expect("it runs");
    assert!(told.status.success(), "{told:?}");
    fs::write(&made, told.stdout).expect("the folder is ours");
    let files = fs::read_dir(stack.data_dir()).expect("it is ours");
    let mut names =
        files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
    assert!(!names.any(|name| name.contains("copy")), "no copy is left");

    fs::create_dir(&other).expect("it is new");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).expect("it is ours");
    // Only root can give a folder away.
    let ours = fs_owner(&other);
    let owner = if ours == 0 { 54_321 } else { ours };
    std::os::unix::fs::chown(&other, Some(owner), None).expect("root may do that");
    let restored = arizuko(&stack, &["restore", &path(&made), "--data-dir", &path(&other)]).await;
    restored.expect(0);
    for file in fs::read_dir(&other).expect("it is there") {
        let file = file.expect("a file").path();
        assert_eq!(fs_owner(&file), owner, "{}", file.display());
    }
}

fn fs_owner(file: &Path) -> u32 {
    fs::metadata(file).expect("it is there").uid()
}

#[apply(embedded)]
async fn a_file_that_is_no_backup_is_refused(stack: Stack) {
    let (data, file) = (path(&stack.folder().join("other")), stack.folder().join("file"));
    for bytes in [&b"not a database"[..], b""] {
        fs::write(&file, bytes).expect("the folder is ours");
        let refused = arizuko(&stack, &["restore", &path(&file), "--data-dir", &data]).await;
        let told = format!("error: {} is not a backup of arizuko's\n", file.display());
        assert_eq!(refused.expect(1).err, told);
    }
    let none = path(&stack.folder().join("none"));
    let refused = arizuko(&stack, &["restore", &none, "--data-dir", &data]).await;
    let told = format!("error: cannot read {none}: No such file or directory (os error 2)\n");
    assert_eq!(refused.expect(1).err, told);
    let made = path(&stack.folder().join("backup"));
    let own = path(&stack.data_dir());
    arizuko(&stack, &["backup", &made, "--data-dir", &own]).await.expect(0);
    // Restoring a truncated copy is refused.
    let whole = fs::read(&made).expect("it was made");
    fs::write(&file, &whole[..whole.len() / 2]).expect("the folder is ours");
    let refused = arizuko(&stack, &["restore", &path(&file), "--data-dir", &data]).await;
    refused.expect(1);
    assert!(!Path::new(&data).join("arizuko.db").exists());
    arizuko(&stack, &["restore", &made, "--data-dir", &data]).await.expect(0);
}

#[apply(embedded)]
async fn neither_a_backup_nor_a_store_is_overwritten(stack: Stack) {
    let (data, file) = (path(&stack.data_dir()), path(&stack.folder().join("backup")));
    arizuko(&stack, &["backup", &file, "--data-dir", &data]).await.expect(0);
    let again = arizuko(&stack, &["backup", &file, "--data-dir", &data]).await;
    assert!(again.expect(1).err.contains("is there already"));
    let in_use = arizuko(&stack, &["restore", &file, "--data-dir", &data]).await;
    assert!(in_use.expect(1).err.contains("in use by another"));
    let other = path(&stack.folder().join("other"));
    arizuko(&stack, &["restore", &file, "--data-dir", &other]).await.expect(0);
    let twice = arizuko(&stack, &["restore", &file, "--data-dir", &other]).await;
    assert!(twice.expect(1).err.contains("has a store already"));
}

#[apply(one_redis)]
async fn backup_needs_an_embedded_store(stack: Stack) {
    let file = path(&stack.folder().join("backup"));
    let refused = arizuko(&stack, &["backup", &file]).await.expect(1);
    assert!(refused.err.contains("no embedded store"), "{refused:?}");
}
