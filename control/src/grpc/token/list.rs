//! Lists tokens, a page at a time.

use super::super::{
    Service, access,
    pages::{self, FULL},
    wire,
};
use crate::{
    audit::in_view,
    ids::TokenId,
    jid::FolderName,
    key::Caller,
    ledger::Error,
    names::{self, InFolder},
    refusal::Refusal,
    store::Partition,
    token::{Address, Token},
};
use arizuko_proto::v1::{self, token_target::Target};
use prost::Message as _;
use std::collections::BTreeMap;

/// How many tokens are read at a time: each may have texts of 100 KiB.
const READ: usize = 50;
/// How many places are read at a time: the first number if one partition is read, the second from
/// each partition if all are read.
const PLACES: (u32, u32) = (1_000, 50);
/// A page that has looked at this many places ends, however few of them are selected.
const LOOKED_AT: usize = 10_000;

/// Where a token stands in a list: the time when it was issued, and its name in the set of tokens.
type Place = (u64, String);

/// Which tokens a request selects. The caller's reach is checked separately.
struct Selection {
    /// `None`: the tokens of all partitions.
    partition: Option<Partition>,
    /// The folder of the tokens, or a folder above it.
    view: Option<FolderName>,
    /// The JID of the tokens, and its folder.
    jid: Option<(String, FolderName)>,
    /// Whether the texts of the options are listed, too.
    full: bool,
}

impl Selection {
    /// Whether the selection may have the token with this name in the set of tokens.
    fn may_have(&self, name: &str) -> bool {
        let folder = InFolder::from(name.to_owned()).folder;
        in_view(&folder, self.view.as_ref())
            && self.jid.as_ref().is_none_or(|(_, of_jid)| folder == of_jid.as_str())
    }

    fn has(&self, token: &Token) -> bool {
        self.view.as_ref().is_none_or(|view| token.folder.is_within(view))
            && self.jid.as_ref().is_none_or(|(jid, _)| token.jid == *jid)
    }
}

impl Service {
    /// Returns a page of the live tokens that a request selects and that the caller reaches.
    pub(super) async fn page_of_tokens(
        &self,
        caller: &Caller,
        request: v1::ListTokensRequest,
    ) -> Result<v1::ListTokensResponse, Error> {
        let most = pages::most(request.page_size);
        let full = request.full || request.target.is_some();
        let view = access::view(caller, &request.folder)?;
        let after = parse(&request.page_token)?;
        let _texts = self.control.texts.acquire().await;
        let (partition, jid) = match request.target.and_then(|target| target.target) {
            None => (view.as_ref().map(|view| self.control.partition(view)), None),
            Some(Target::Jid(jid)) => {
                let partition = self.partition_of_jid(&jid)?;
                let address = self.control.ledger.record::<Address>(partition, &jid).await?;
                let Some(address) = address else { return Ok(Default::default()) };
                (Some(partition), Some((jid, address.folder)))
            }
            Some(Target::TokenId(id)) => return self.one_token(caller, view, &id).await,
        };
        let selection = Selection { partition, view, jid, full };
        self.page_after(caller, &selection, after, most).await
    }

    /// Returns a page of at most `most` tokens after a place.
    async fn page_after(
        &self,
        caller: &Caller,
        selection: &Selection,
        mut after: Place,
        most: usize,
    ) -> Result<v1::ListTokensResponse, Error> {
        let mut page = v1::ListTokensResponse::default();
        let (mut bytes, mut looked_at) = (0, 0);
        loop {
            let (places, has_more) = self.places(selection.partition, &after).await?;
            if let Some(((at, _), _)) = places.first()
                && looked_at >= LOOKED_AT
                && *at > after.0
            {
                // A place contains a token's name, which the caller might not be allowed to see. So
                // this page token has only the time.
                page.next_page_token = format!("{at}-");
                return Ok(page);
            }
            looked_at += places.len();
            let may_have = |((_, name), _): &&(Place, Partition)| selection.may_have(name);
            for places in places.iter().filter(may_have).collect::<Vec<_>>().chunks(READ) {
                for ((at, name), token) in self.read_tokens(places).await? {
                    if !(selection.has(&token) && self.may_list(caller, &token)) {
                        continue;
                    }
                    if page.tokens.len() == most || bytes >= FULL {
                        return Ok(page);
                    }
                    page.next_page_token = format!("{at}-{name}");
                    let mut token = wire::token(token);
                    if let Some(options) = token.options.as_mut().filter(|_| !selection.full) {
                        (options.greeting, options.context) = Default::default();
                        options.looks = None;
                    }
                    bytes += token.encoded_len();
                    page.tokens.push(token);
                }
            }
            match places.into_iter().next_back() {
                Some((place, _)) if has_more => after = place,
                _ => break,
            }
        }
        page.next_page_token.clear();
        Ok(page)
    }

    async fn one_token(
        &self,
        caller: &Caller,
        view: Option<FolderName>,
        id: &str,
    ) -> Result<v1::ListTokensResponse, Error> {
        let (id, partition) = TokenId::parse(id, self.control.partitions)?;
        let token: Option<Token> = self.control.ledger.record(partition, &id).await?;
        let selection = Selection { partition: Some(partition), view, jid: None, full: true };
        let listed = token.filter(|it| selection.has(it) && self.may_list(caller, it));
        let tokens = listed.into_iter().map(wire::token).collect();
        Ok(v1::ListTokensResponse { tokens, next_page_token: String::new() })
    }

    fn may_list(&self, caller: &Caller, token: &Token) -> bool {
        token.is_live(self.control.ledger.now()) && caller.must_reach(&token.owner).is_ok()
    }

    /// Returns the next places after `after`, of one partition or of all, with their partitions;
    /// and whether there may be more.
    async fn places(
        &self,
        partition: Option<Partition>,
        after: &Place,
    ) -> Result<(Vec<(Place, Partition)>, bool), Error> {
        let (ledger, set) = (&self.control.ledger, names::tokens());
        let mut limit = if partition.is_some() { PLACES.0 } else { PLACES.1 };
        loop {
            let scores = after.0..=u64::MAX;
            let members: Vec<(Partition, (InFolder, u64))> = match partition {
                None => {
                    let all = self.control.all_partitions();
                    ledger.gather(&set, &all, scores, limit).await?
                }
                Some(partition) => {
                    let members = ledger.members(partition, &set, scores, limit).await?;
                    members.into_iter().map(|member| (partition, member)).collect()
                }
            };
            let mut by_partition = BTreeMap::<_, Vec<Place>>::new();
            for (partition, (member, at)) in members {
                by_partition.entry(partition).or_default().push((at, member.to_string()));
            }
            // A partition that has reached the limit may have more places after its last one here.
            let full = by_partition.values().filter(|places| places.len() >= limit as usize);
            let end = full.filter_map(|places| places.last()).min().cloned();
            let places = by_partition.into_iter().flat_map(|(partition, places)| {
                places.into_iter().map(move |place| (place, partition))
            });
            let is_next =
                |place: &Place| place > after && end.as_ref().is_none_or(|end| place <= end);
            let mut places: Vec<_> = places.filter(|(place, _)| is_next(place)).collect();
            if !places.is_empty() || end.is_none() {
                places.sort_unstable();
                return Ok((places, end.is_some()));
            }
            // All tokens up to `end` were issued in one millisecond and come no later than `after`,
            // so read more.
            limit *= 2;
        }
    }

    /// Reads tokens, and returns those that still exist, in the order of their places.
    async fn read_tokens(
        &self,
        listed: &[&(Place, Partition)],
    ) -> Result<BTreeMap<Place, Token>, Error> {
        let mut by_partition = BTreeMap::<_, Vec<_>>::new();
        for (place, partition) in listed {
            by_partition.entry(*partition).or_default().push(place);
        }
        let mut tokens = BTreeMap::new();
        for (partition, places) in by_partition {
            let id = |(_, name): &&Place| InFolder::from(name.clone()).id.into();
            let ids: Vec<TokenId> = places.iter().map(id).collect();
            let found = self.control.ledger.records::<Token>(partition, &ids).await?;
            let found = places.into_iter().cloned().zip(found);
            tokens.extend(found.filter_map(|(place, token)| Some((place, token?))));
        }
        Ok(tokens)
    }
}

/// Parses a page token: the place of the previous page's last token, or only the time at which the
/// next page begins.
fn parse(page_token: &str) -> Result<Place, Refusal> {
    if page_token.is_empty() {
        return Ok(Place::default());
    }
    let place = page_token.split_once('-').and_then(|(at, name)| Some((at.parse().ok()?, name)));
    let (at, name) =
        place.ok_or_else(|| Refusal::invalid("the page token is not from an earlier answer"))?;
    Ok((at, name.to_owned()))
}
