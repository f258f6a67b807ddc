//! A fuzz target that reads what endpoints and gateways send. See `control/src/fuzz.rs`.

use crate::sse::SseReader;
use bolero::check;

#[test]
fn events() {
    check!().for_each(|input: &[u8]| {
        let mut whole = SseReader::default();
        let events = whole.push(input);
        let mut pieces = SseReader::default();
        let read: Vec<_> = input.iter().flat_map(|byte| pieces.push(&[*byte])).collect();
        assert_eq!(read, events);
        // At most as many bytes wait as were pushed, except that each invalid byte becomes U+FFFD,
        // which has three bytes.
        assert!(whole.waiting() <= 3 * input.len());
        assert_eq!((pieces.last_id, pieces.retry), (whole.last_id, whole.retry));
    });
}
