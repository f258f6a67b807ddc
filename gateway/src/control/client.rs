//! The gRPC client of one control.

use arizuko_proto::{
    client::{self, Bearer, Channel, MAX_RESPONSE_BYTES},
    tls::ClientFiles,
    v1::gateway_service_client::GatewayServiceClient,
};

pub(super) type Client = GatewayServiceClient<Channel>;

/// Prepares a client with its own connection, which is made when it is first used.
pub(super) fn connect(address: &str, key: &Bearer, tls: &ClientFiles) -> anyhow::Result<Client> {
    let channel = client::endpoint(address, tls)?.connect_lazy();
    let client = Client::new(Channel::new(channel, key.clone()));
    Ok(client.max_decoding_message_size(MAX_RESPONSE_BYTES))
}
