//! FolderService.

use super::{Service, wire};
use crate::{
    folder_settings::{self, Field, FolderSettings},
    jid::FolderName,
    key::Caller,
    refusal::Refusal,
    transaction::Tx,
};
use arizuko_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::folder_service_server::FolderService for Service {
    async fn set_folder(
        &self,
        request: Request<v1::SetFolderRequest>,
    ) -> Result<Response<v1::SetFolderResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let root = root(&caller, &request.folder)?;
        let wanted = request.settings.unwrap_or_default();
        let keep_messages = wire::parse_duration(wanted.keep_messages)?;
        let keep_frames = wire::parse_duration(wanted.keep_frames)?;
        let wanted = FolderSettings::new(keep_messages, keep_frames);
        let mask = request.update_mask.unwrap_or_default().paths;
        let mut fields =
            mask.iter().map(|path| Field::parse(path)).collect::<Result<Vec<_>, _>>()?;
        if fields.is_empty() {
            fields = Field::ALL.to_vec();
        }
        let partition = self.control.partition(&root);
        let setting = |tx: &mut Tx<'_>| folder_settings::set(tx, &caller, &root, &wanted, &fields);
        let settings = self.control.ledger.transact(partition, &[], setting).await?;
        let folder = Some(self.wire_folder(root, &settings));
        Ok(Response::new(v1::SetFolderResponse { folder }))
    }

    async fn get_folder(
        &self,
        request: Request<v1::GetFolderRequest>,
    ) -> Result<Response<v1::GetFolderResponse>, Status> {
        let (caller, request) = self.authenticate_overseer(request)?;
        let root = root(&caller, &request.folder)?;
        let partition = self.control.partition(&root);
        let settings = self.control.ledger.record(partition, root.as_str()).await?;
        let folder = Some(self.wire_folder(root, &settings.unwrap_or_default()));
        Ok(Response::new(v1::GetFolderResponse { folder }))
    }
}

impl Service {
    fn wire_folder(&self, root: FolderName, settings: &FolderSettings) -> v1::Folder {
        let kept = settings.kept(&self.control.limits);
        v1::Folder {
            folder: root.into(),
            settings: Some(v1::FolderSettings {
                keep_messages: settings.keep_messages.and_then(wire::duration),
                keep_frames: settings.keep_frames.and_then(wire::duration),
            }),
            effective: Some(v1::FolderSettings {
                keep_messages: wire::duration(kept.messages),
                keep_frames: wire::duration(kept.frames),
            }),
        }
    }
}

/// Returns the root folder that a request names.
fn root(caller: &Caller, named: &str) -> Result<FolderName, Refusal> {
    let folder = caller.folder(named)?;
    if folder.as_str() == folder.root() {
        return Ok(folder);
    }
    let root = folder.root();
    Err(Refusal::invalid(format!("these settings hold for a whole tenant: name {root}")))
}
