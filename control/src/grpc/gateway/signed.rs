//! Checks that a webhook's sender has signed a delivery, before anything else is done with it.

use crate::{
    control::Control,
    refusal::Refusal,
    secret::Secret,
    signature::{Signed, verify},
    time::Time,
    token::Token,
    turn::input::Post,
};

impl Control {
    /// Checks a delivery's signature, if its link says how the sender signs.
    ///
    /// # Errors
    /// [`Refusal::SignatureInvalid`] for a signature that is missing or wrong;
    /// [`Refusal::CannotVerify`] if no secret can be unsealed, so that no signature can be checked.
    pub(crate) fn check_signature(
        &self,
        token: &Token,
        secret: &Secret,
        post: &Post,
        now: Time,
    ) -> Result<(), Refusal> {
        let Some(signature) = &token.options.hook.signature else {
            return Ok(());
        };
        let open = |sealed: &String| self.sealer.as_ref()?.open(sealed, &token.id);
        let secrets: Vec<_> = signature.sealed_secrets.iter().filter_map(open).collect();
        if secrets.is_empty() {
            tracing::error!(token = %token.id, "cannot open a webhook's secrets: --seal-key is missing or wrong");
            return Err(Refusal::CannotVerify);
        }
        let request = post.request.clone().unwrap_or_default();
        let encoded = request.encoded_content.into_bytes();
        let mark = if request.query.is_empty() { "" } else { "?" };
        let base = self.url_of_tenant(token.folder.root());
        let secret = secret.as_str();
        let signed = Signed {
            headers: &[&post.headers, &post.credentials],
            body: if encoded.is_empty() { &post.content } else { &encoded },
            url: &format!("{base}/hook/{secret}{}{mark}{}", request.path, request.query),
            method: &request.method,
            now,
        };
        verify(&signature.scheme, &secrets, &signed).map_err(Refusal::SignatureInvalid)
    }
}
