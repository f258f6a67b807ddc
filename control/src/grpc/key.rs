//! KeyService.

use super::{Service, status, wire};
use crate::{
    credential::{Credential, partition_of_id},
    jid::Folder,
    key::{self, Caller, Key, Role},
    ledger::{Error, random},
    transaction::Refusal,
};
use arizuko_proto::v1::{self, KeyKind, KeyReach};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::key_service_server::KeyService for Service {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let caller = self.operator(&request).await?;
        let created = self.create(&caller, &request.into_inner()).await;
        let (key_id, key) = created.map_err(status::from)?;
        Ok(Response::new(v1::CreateKeyResponse { key_id, key }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        self.operator(&request).await?;
        let keys = self.live_keys(&request.into_inner().folder).await.map_err(status::from)?;
        let keys = keys.into_iter().map(wire_key).collect();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let caller = self.operator(&request).await?;
        let id = request.into_inner().key_id;
        let partition = partition_of_id(key::ID, &id, self.0.partitions)
            .ok_or_else(|| status::from(Refusal::invalid("a key's id is like key_…")))?;
        let revoked =
            self.0.ledger.transact(partition, &[], |tx| key::revoke(tx, &caller, &id)).await;
        let revoked = revoked.map_err(status::from)?.map(wire_key);
        Ok(Response::new(v1::RevokeKeyResponse { revoked }))
    }
}

impl Service {
    async fn create(
        &self,
        caller: &Caller,
        request: &v1::CreateKeyRequest,
    ) -> Result<(String, String), Error> {
        let role = role(request)?;
        let partition = match &role {
            Role::Agent { folder, .. } => self.0.partition(folder),
            Role::Operator | Role::Gateway => 0,
        };
        let credential = Credential::mint(key::SECRET, partition, random()?);
        let created = self.0.ledger.transact(partition, &[], |tx| {
            key::create(tx, caller, &role, &request.name, &credential)
        });
        Ok((created.await?.id, credential.secret().to_owned()))
    }

    async fn live_keys(&self, folder: &str) -> Result<Vec<Key>, Error> {
        let view = (!folder.is_empty()).then(|| Folder::parse(folder)).transpose()?;
        let mut keys = Vec::new();
        for (partition, ids) in self.0.listed(key::KEYS, view.as_ref()).await? {
            let records = ids.iter().map(|id| key::record(id));
            keys.extend(
                self.0.ledger.records::<Key>(partition, records).await?.into_iter().flatten(),
            );
        }
        keys.sort_by_key(|key| key.created_at);
        Ok(keys)
    }
}

fn role(request: &v1::CreateKeyRequest) -> Result<Role, Refusal> {
    let without_folder = |role| match request.folder.as_str() {
        "" => Ok(role),
        _ => Err(Refusal::invalid("only an agent's key has a folder")),
    };
    match request.kind() {
        KeyKind::Operator => without_folder(Role::Operator),
        KeyKind::Gateway => without_folder(Role::Gateway),
        KeyKind::Agent => Ok(Role::Agent {
            folder: Folder::parse(&request.folder)?,
            subtree: request.reach() == KeyReach::Subtree,
            may_mint: request.may_mint,
        }),
        KeyKind::Unspecified => Err(Refusal::invalid("say which kind of key")),
    }
}

fn wire_key(key: Key) -> v1::Key {
    let mut wire = v1::Key {
        key_id: key.id,
        name: key.name,
        created_at: Some(wire::timestamp(key.created_at)),
        ..v1::Key::default()
    };
    match key.role {
        Role::Operator => wire.set_kind(KeyKind::Operator),
        Role::Gateway => wire.set_kind(KeyKind::Gateway),
        Role::Agent { folder, subtree, may_mint } => {
            wire.set_kind(KeyKind::Agent);
            wire.set_reach(if subtree { KeyReach::Subtree } else { KeyReach::Self_ });
            wire.folder = folder.into();
            wire.may_mint = may_mint;
        }
    }
    wire
}
