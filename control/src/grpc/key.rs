//! KeyService.

use super::{Service, access, pages, wire};
use crate::{
    ids::{KEY_PREFIX, KeyId},
    jid::FolderName,
    key::{
        self, Key, Role,
        rotation::{self, Keep, Rotation},
    },
    ledger::random,
    names,
    refusal::Refusal,
    secret::Secret,
    time::Time,
    transaction::Tx,
};
use arizuko_proto::v1::{self, KeyKind, KeyReach};
use std::{collections::BTreeMap, time::Duration};
use tonic::{Request, Response, Status};

/// How long the old secret of a rotated key works, unless the call says otherwise.
const OVERLAP: Duration = Duration::from_secs(86_400);

#[tonic::async_trait]
impl v1::key_service_server::KeyService for Service {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let role = role(&request)?;
        let lifetime = wire::parse_duration(request.lifetime)?;
        let partition = match &role {
            Role::Agent { folder, .. } => {
                self.control.check_host(folder)?;
                self.control.partition(folder)
            }
            Role::Operator | Role::Viewer | Role::Gateway => 0,
        };
        let secret = Secret::mint(KEY_PREFIX, partition, random()?);
        let created = self.control.ledger.transact(partition, &[], |tx| {
            key::create(tx, &caller, &role, &request.name, lifetime, &secret)
        });
        let key_id = created.await?.id.to_string();
        let key = secret.as_str().to_owned();
        Ok(Response::new(v1::CreateKeyResponse { key_id, key }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let (caller, request) = self.authenticate_overseer(request)?;
        let view = access::view(&caller, &request.folder)?;
        let mut keys: Vec<Key> = self.control.listed(&names::keys(), view.as_ref()).await?;
        let now = self.control.ledger.now();
        keys.retain(|key| key.is_live(now));
        let keys = keys.into_iter().map(|key| {
            let place = format!("{:020}-{}", key.created_at.as_millis(), key.id);
            (place, wire_key(key, now))
        });
        let keys: BTreeMap<_, _> = keys.collect();
        let (keys, next_page_token) = pages::page(keys, request.page_size, &request.page_token);
        Ok(Response::new(v1::ListKeysResponse { keys, next_page_token }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = KeyId::parse(&request.key_id, self.control.partitions)?;
        let revoking = |tx: &mut Tx<'_>| key::revoke(tx, &caller, &id);
        let revoked = self.control.ledger.transact(partition, &[], revoking).await?;
        let issued = self.control.issued_by(&id).await?;
        let mut tokens = issued.iter().map(|(_, ids)| ids.len()).sum();
        if request.with_tokens {
            tokens = self.revoke(&caller, issued).await?.len();
        }
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let now = self.control.ledger.now();
        Ok(Response::new(v1::RevokeKeyResponse {
            revoked: revoked.map(|key| wire_key(key, now)),
            tokens,
        }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = KeyId::parse(&request.key_id, self.control.partitions)?;
        let rotation = Rotation {
            overlap: wire::parse_duration(request.overlap)?.unwrap_or(OVERLAP),
            lifetime: wire::parse_duration(request.lifetime)?,
        };
        let secret = id.another_secret(random()?)?;
        let rotating = |tx: &mut Tx<'_>| rotation::rotate(tx, &caller, &id, rotation, &secret);
        let rotated = self.control.ledger.transact(partition, &[], rotating).await?;
        let key = secret.as_str().to_owned();
        Ok(Response::new(v1::RotateKeyResponse {
            key,
            rotated: Some(wire_key(rotated, self.control.ledger.now())),
        }))
    }

    async fn finish_rotation(
        &self,
        request: Request<v1::FinishRotationRequest>,
    ) -> Result<Response<v1::FinishRotationResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = KeyId::parse(&request.key_id, self.control.partitions)?;
        let keep = if request.undo { Keep::Old } else { Keep::New };
        let finishing = |tx: &mut Tx<'_>| rotation::finish(tx, &caller, &id, keep);
        let finished = self.control.ledger.transact(partition, &[], finishing).await?;
        let finished = finished.map(|key| wire_key(key, self.control.ledger.now()));
        Ok(Response::new(v1::FinishRotationResponse { finished }))
    }
}

fn role(request: &v1::CreateKeyRequest) -> Result<Role, Refusal> {
    let without_folder = |role| match request.folder.as_str() {
        "" => Ok(role),
        _ => Err(Refusal::invalid("only an agent's key has a folder")),
    };
    match request.kind() {
        KeyKind::Operator => without_folder(Role::Operator),
        KeyKind::Viewer => without_folder(Role::Viewer),
        KeyKind::Gateway => without_folder(Role::Gateway),
        KeyKind::Agent => Ok(Role::Agent {
            folder: FolderName::parse(&request.folder)?,
            subtree: wire::known::<KeyReach>(request.reach, "reach of a key")? == KeyReach::Subtree,
            may_mint: request.may_mint,
            may_read: request.may_read,
            may_route: request.may_set_routes,
            may_speak_as_person: request.may_speak_as_person,
        }),
        KeyKind::Unspecified => Err(Refusal::invalid("the key's kind is missing")),
    }
}

fn wire_key(key: Key, now: Time) -> v1::Key {
    let old_secret_ends_at = key.old_secret(now).map(|old| wire::timestamp(old.ends_at));
    let mut wire = v1::Key {
        key_id: key.id.to_string(),
        name: key.name,
        created_at: Some(wire::timestamp(key.created_at)),
        expires_at: key.expires_at.map(wire::timestamp),
        last_used_at: key.last_used_at.map(wire::timestamp),
        rotated_at: key.rotated_at.map(wire::timestamp),
        old_secret_ends_at,
        ..v1::Key::default()
    };
    match key.role {
        Role::Operator => wire.set_kind(KeyKind::Operator),
        Role::Viewer => wire.set_kind(KeyKind::Viewer),
        Role::Gateway => wire.set_kind(KeyKind::Gateway),
        Role::Agent { folder, subtree, may_mint, may_read, may_route, may_speak_as_person } => {
            wire.set_kind(KeyKind::Agent);
            wire.set_reach(if subtree { KeyReach::Subtree } else { KeyReach::Self_ });
            wire.folder = folder.into();
            wire.may_mint = may_mint;
            wire.may_read = may_read;
            wire.may_set_routes = may_route;
            wire.may_speak_as_person = may_speak_as_person;
        }
    }
    wire
}
