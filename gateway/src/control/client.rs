//! The gRPC clients of one control.

use arizuko_proto::{
    client::{Bearer, Channel, MAX_RESPONSE_BYTES},
    v1::gateway_service_client::GatewayServiceClient,
};
use std::{error::Error, iter};
use tonic::{Status, transport::Endpoint};

pub(super) type Client = GatewayServiceClient<Channel>;

/// Prepares a connection, which is made when it is first used.
pub(super) fn connect(endpoint: &Endpoint, key: &Bearer) -> Channel {
    Channel::new(endpoint.connect_lazy(), key.clone())
}

/// Returns a client on a connection.
pub(super) fn client(channel: Channel) -> Client {
    Client::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

/// Returns the innermost cause of a status, or its message if it has no cause. A status that
/// control sent has none.
pub(super) fn cause(status: &Status) -> String {
    let cause = causes(status).last();
    cause.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

/// Returns the causes of a status, from the outermost to the innermost.
pub(super) fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    iter::successors(status.source(), |&error| error.source())
}
