use super::*;
use crate::ids::KEY_PREFIX;

#[test]
fn a_use_is_written_once_an_hour() {
    let secret = Secret::mint(KEY_PREFIX, 0, [1; 32]);
    let at = |minutes: u64| Time::from_millis(1) + Duration::from_secs(60 * minutes);
    let mut key = Key::new(&secret, Role::Operator, String::new(), at(0));
    assert!(!key.was_used_lately(at(0)));
    key.last_used_at = Some(at(0));
    assert!(key.was_used_lately(at(59)) && !key.was_used_lately(at(60)));
}
