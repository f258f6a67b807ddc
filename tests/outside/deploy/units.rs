//! The systemd units: valid and hardened.

use super::shipped;
use arizuko_tests::prelude::*;

/// The highest exposure level that a unit may have, on systemd's scale from 0 to 10. systemd calls
/// levels below 5 "OK" or better.
const EXPOSURE: f64 = 2.0;

#[apply(embedded)]
async fn systemd_accepts_the_units_and_rates_them_hardened() {
    let folder = tempfile::tempdir().expect("the system has room for temporary files");
    let systemd = || command(found("systemd-analyze"));
    for name in ["arizuko", "arizuko-control", "arizuko-gateway", "arizuko-agent@"] {
        let unit = format!("{name}.service");
        let text = fs::read_to_string(shipped("deploy").join(&unit)).expect("it is there");
        let name = name.trim_end_matches("-agent@");
        let at = format!("ExecStart={name}");
        assert_eq!(text.matches(&at).count(), 1, "{text}");
        // The unit has only the program's name. Here it needs the path of the program under test.
        let built = program(name, folder.path());
        let built = built.as_std().get_args().last().expect("the program");
        let text = text.replace(&at, &format!("ExecStart={}", built.display()));
        let file = folder.path().join(&unit);
        fs::write(&file, text).expect("the folder is ours");

        let verified = run(systemd().arg("verify").arg(&file), "").await.expect(0);
        let said = [verified.out, verified.err].concat();
        assert!(!said.contains(&unit), "{said}");
        let mut security = systemd();
        let judged = run(security.args(["security", "--offline=true"]).arg(&file), "").await;
        let judged = judged.expect(0).out;
        let level = judged.lines().find_map(|line| line.split_once("exposure level for "));
        let level = level.and_then(|(_, level)| level.split_whitespace().nth(1));
        let level: f64 = level.and_then(|level| level.parse().ok()).expect("a figure");
        assert!(level <= EXPOSURE, "{judged}");
    }
}
