//! Lists that come in pages.

use prost::Message;

/// How many items a page has at most. This is also the default.
pub(super) const MOST: usize = 1_000;
/// A page ends with the item that takes it to this size, in bytes. With that item it is still below
/// the 4 MiB that a gRPC client takes by default.
pub(super) const FULL: usize = 3 << 20;

/// Returns how many items to return at most, for a request's page_size.
pub(super) fn most(page_size: u32) -> usize {
    match page_size as usize {
        0 => MOST,
        size => size.min(MOST),
    }
}

/// Returns a page of a list, and the page_token of the next one: the place of the page's last item.
/// `all` is sorted by place.
pub(super) fn page<M: Message>(
    all: impl IntoIterator<Item = (String, M)>,
    page_size: u32,
    page_token: &str,
) -> (Vec<M>, String) {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, String::new());
    for (place, item) in all.into_iter().filter(|(place, _)| place.as_str() > page_token) {
        if page.len() == most(page_size) || bytes >= FULL {
            return (page, last);
        }
        bytes += item.encoded_len();
        page.push(item);
        last = place;
    }
    (page, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::Route;

    #[test]
    fn pages_have_all_items_once_and_end_where_they_are_full() {
        let route = |number: usize| {
            let prefix = format!("{number:04}");
            let persona = Some("x".repeat(if number < 4 { 1 << 20 } else { 0 }));
            (prefix.clone(), Route { prefix, persona, ..Route::default() })
        };
        let (mut token, mut sizes) = (String::new(), Vec::new());
        loop {
            let (items, next) = page((0..1_010).map(route), 0, &token);
            sizes.push(items.len());
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(sizes, [3, 1_000, 7]);
        assert_eq!(page((0..9).map(route), 2, "0004").0.len(), 2);
    }
}
