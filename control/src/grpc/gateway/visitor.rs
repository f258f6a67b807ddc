//! Who a visitor is: checks the JWT by which a site vouches for them, and lists their
//! conversations.

use super::super::conversation::seen::excerpt;
use crate::{
    control::Control,
    conversation::Conversation,
    grpc::{access::Access, wire},
    identity::{Identity, KeyText, Page, VisitorKey},
    ids::{TokenId, TurnId},
    ledger::Error,
    names,
    refusal::Refusal,
    store::Order,
    time::Time,
    token::Token,
    turn::input::Input,
};
use arizuko_proto::v1;

/// How many conversations of a visitor are listed, at most.
const LISTED: u32 = 50;

impl Control {
    /// Seals the keys that check who a link's visitors are.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the operator has set no key to seal them with.
    pub(in crate::grpc) fn seal_visitor_keys(
        &self,
        keys: Vec<KeyText>,
        token: &TokenId,
    ) -> Result<Vec<VisitorKey>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
        let texts: Vec<String> = keys.into_iter().map(KeyText::into_text).collect();
        let sealed = self.seal(&texts, token)?.into_iter();
        let keys = algorithms.into_iter().zip(sealed);
        Ok(keys.map(|(algorithm, sealed)| VisitorKey { algorithm, sealed }).collect())
    }

    /// Returns who the visitor of a link is; `None` if there is no JWT.
    ///
    /// # Errors
    /// [`Refusal::IdentityInvalid`] if the JWT is not valid; [`Refusal::CannotVerify`] if no key
    /// can be unsealed.
    pub(super) fn identify(
        &self,
        token: &Token,
        jwt: &str,
        now: Time,
    ) -> Result<Option<Identity>, Refusal> {
        if jwt.is_empty() {
            return Ok(None);
        }
        let sealed = &token.options.visitor_keys;
        let open = |key: &VisitorKey| {
            let opened = self.sealer.as_ref()?.open(&key.sealed, token.id.as_str())?;
            KeyText::parse(String::from_utf8(opened).ok()?).ok()
        };
        let keys: Vec<KeyText> = sealed.iter().filter_map(open).collect();
        if keys.is_empty() && !sealed.is_empty() {
            tracing::error!(token = %token.id, "cannot open a link's visitor keys: --seal-key is missing or wrong");
            return Err(Refusal::CannotVerify);
        }
        Identity::verify(jwt, &keys, &token.id, now).map(Some)
    }

    /// Lists the conversations of a visitor for whom the site vouches, the most recent first.
    pub(super) async fn conversations_of_visitor(
        &self,
        access: &Access,
        jwt: &str,
    ) -> Result<v1::ListVisitorConversationsResponse, Error> {
        let (ledger, partition) = (&self.ledger, access.partition());
        let token = access.admit(self).await?;
        let identity = self.identify(&token, jwt, ledger.now())?;
        let identity = identity.ok_or_else(|| Refusal::invalid("visitor_jwt is missing"))?;
        let set = names::conversations_of(&token.id, &Identity::hash(&identity.id));
        let listed = ledger.last_members(partition, &set, u64::MAX, LISTED).await?;
        let ids: Vec<_> = listed.into_iter().map(|(id, _)| id).collect();
        let found = ledger.records::<Conversation>(partition, &ids).await?;
        let sets: Vec<_> = ids.iter().map(names::turns).collect();
        let oldest = ledger.first_of_each(partition, &sets, Order::LowestFirst, 1).await?;
        // Keeps the conversations that still exist, each with its first turn.
        let listed = found.into_iter().zip(oldest);
        let listed =
            listed.filter_map(|(conversation, mut turn)| Some((conversation?, turn.pop()?)));
        let (found, turns): (Vec<Conversation>, Vec<TurnId>) = listed.unzip();
        let _permit = self.texts.acquire().await;
        let inputs = ledger.records::<Input>(partition, &turns).await?;
        let conversations = found.into_iter().zip(inputs).map(|(conversation, input)| {
            let text = input.map(|input| input.content.into_text()).unwrap_or_default();
            v1::VisitorConversation {
                title: conversation.title.unwrap_or_else(|| excerpt(&text)),
                active_at: Some(wire::timestamp(conversation.active_at)),
                conversation: conversation.id.to_string(),
            }
        });
        let conversations = conversations.collect();
        let identity = Some(wire::identity(identity));
        Ok(v1::ListVisitorConversationsResponse { conversations, identity })
    }
}

/// Reads the page that a visitor says they write from.
///
/// # Errors
/// [`Refusal::Invalid`] if something in it is too long.
pub(super) fn page(page: v1::VisitorPage) -> Result<Page, Refusal> {
    let v1::VisitorPage { url, title, language, data } = page;
    let page = Page { url, title, language, data: data.into_iter().collect() };
    page.check()?;
    Ok(page)
}
