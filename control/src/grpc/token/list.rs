//! Lists tokens, a page at a time.

use super::super::{Service, access, wire};
use crate::{
    audit::in_view,
    ids::TokenId,
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

/// How many tokens a page has, at most, and if the request doesn't say.
const MOST: usize = 1_000;
/// A page ends with the token that takes it to this size, in bytes. With that token it is still below
/// the 4 MiB that a gRPC client takes by default.
const FULL: usize = 3 << 20;
/// How many tokens are read at a time: each may have texts of 100 KiB.
const READ: usize = 50;

/// Where a token stands in a list: the time when it was issued, and its id.
type Place = (u64, String);

impl Service {
    /// Returns a page of the live tokens that a request selects and that the caller reaches.
    pub(super) async fn page_of_tokens(
        &self,
        caller: &Caller,
        request: v1::ListTokensRequest,
    ) -> Result<v1::ListTokensResponse, Error> {
        let most = match request.page_size as usize {
            0 => MOST,
            size => size.min(MOST),
        };
        let view = access::view(caller, &request.folder)?;
        let target = request.target.and_then(|target| target.target);
        let after = parse(&request.page_token)?;
        // The names of all tokens that may be on later pages are in memory meanwhile.
        let _permit = self.control.texts.acquire().await;
        let mut listed = match &target {
            None => {
                let partition = view.as_ref().map(|view| self.control.partition(view));
                let in_view = |member: &InFolder| in_view(&member.folder, view.as_ref());
                self.listed_tokens(partition, in_view).await?
            }
            Some(Target::Jid(jid)) => {
                let partition = self.partition_of_jid(jid)?;
                let address = self.control.ledger.record::<Address>(partition, jid).await?;
                let folder = address.as_ref().map(|address| address.folder.as_str());
                let in_folder = |member: &InFolder| Some(member.folder.as_str()) == folder;
                self.listed_tokens(Some(partition), in_folder).await?
            }
            Some(Target::TokenId(id)) => {
                let (id, partition) = TokenId::parse(id, self.control.partitions)?;
                vec![((0, id.to_string()), partition)]
            }
        };
        listed.retain(|(place, _)| after.as_ref().is_none_or(|after| place > after));
        listed.sort_unstable();
        let now = self.control.ledger.now();
        let is_selected = |token: &Token| {
            let is_elsewhere = matches!(&target, Some(Target::Jid(jid)) if token.jid != *jid);
            let in_view = view.as_ref().is_none_or(|view| token.folder.is_within(view));
            let is_reached = caller.must_reach(&token.owner).is_ok();
            token.is_live(now) && in_view && is_reached && !is_elsewhere
        };
        let (mut page, mut bytes) = (v1::ListTokensResponse::default(), 0);
        for listed in listed.chunks(READ) {
            for ((at, id), token) in self.read_tokens(listed).await? {
                if !is_selected(&token) {
                    continue;
                }
                if page.tokens.len() == most || bytes >= FULL {
                    return Ok(page);
                }
                page.next_page_token = format!("{at}-{id}");
                let token = wire::token(token);
                bytes += token.encoded_len();
                page.tokens.push(token);
            }
        }
        page.next_page_token.clear();
        Ok(page)
    }

    /// Returns where tokens stand, of one partition or of all, and their partitions.
    async fn listed_tokens(
        &self,
        partition: Option<Partition>,
        is_listed: impl Fn(&InFolder) -> bool,
    ) -> Result<Vec<(Place, Partition)>, Error> {
        let (ledger, set) = (&self.control.ledger, names::tokens());
        let members = match partition {
            None => ledger.gather(&set, self.control.partitions, u64::MAX, u32::MAX).await?,
            Some(partition) => {
                let members = ledger.members(partition, &set, 0..=u64::MAX, u32::MAX).await?;
                members.into_iter().map(|member| (partition, member)).collect()
            }
        };
        let listed = members.into_iter().filter(|(_, (member, _))| is_listed(member));
        Ok(listed.map(|(partition, (member, at))| ((at, member.id), partition)).collect())
    }

    /// Reads tokens, and returns those that there are, in the order of their places.
    async fn read_tokens(
        &self,
        listed: &[(Place, Partition)],
    ) -> Result<BTreeMap<Place, Token>, Error> {
        let mut by_partition = BTreeMap::<_, Vec<_>>::new();
        for (place, partition) in listed {
            by_partition.entry(*partition).or_default().push(place);
        }
        let mut tokens = BTreeMap::new();
        for (partition, places) in by_partition {
            let ids: Vec<TokenId> = places.iter().map(|(_, id)| id.clone().into()).collect();
            let found = self.control.ledger.records::<Token>(partition, &ids).await?;
            let found = places.into_iter().cloned().zip(found);
            tokens.extend(found.filter_map(|(place, token)| Some((place, token?))));
        }
        Ok(tokens)
    }
}

/// Parses a page token: the place of the last token of the page before. `None`: there is no page
/// before.
fn parse(page_token: &str) -> Result<Option<Place>, Refusal> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let place = page_token.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let (at, id) = place.ok_or_else(|| Refusal::invalid("no page has this page_token"))?;
    Ok(Some((at, id.to_owned())))
}
