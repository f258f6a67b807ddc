//! A person's session: what waits is shown, and taken by choice. All else is as with a program's:
//! the leases, the reconnects, and what is sent again.

use super::{Ending, Failure, Reply, Session, Settings, Turn};
use crate::control::Control;
use arizuko_proto::v1::Inbox;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What a person is told.
pub(crate) enum Told {
    /// The session stands, for the first time or again.
    Attached,
    /// Control is out of reach, and why. It is tried until it answers.
    Outage(String),
    /// What waits, and which conversations are the folder's.
    Inbox(Inbox),
    /// A turn that was claimed, to be answered.
    Turn(Box<Turn>, Pen),
    /// Somebody else was faster with this turn.
    TooLate(String),
    /// Control is done with this turn.
    Ended(String, Ending),
}

/// What a person answers one turn with. One that is dropped ends nothing: the turn goes back to the
/// queue with the session.
pub(crate) struct Pen {
    /// The way back to the visitor.
    pub(crate) reply: Reply,
    done: oneshot::Sender<()>,
}

impl Pen {
    /// The turn needs nothing more of this person.
    pub(crate) fn put_down(self) {
        // An error says that nobody wants the reply any more, which `Told::Ended` says too.
        let _ = self.done.send(());
    }
}

/// A session for a person, who is told of all that happens by `told`.
pub(crate) fn session(settings: Settings, told: mpsc::UnboundedSender<Told>) -> Arc<Session> {
    let settings = Settings {
        // Nothing is handed out that was not asked for.
        concurrency: 0,
        ..settings
    };
    Session::new(settings, Some(told))
}

/// Serves a person's session until its `stop`.
pub(crate) async fn serve(session: &Arc<Session>, control: &Control) -> anyhow::Result<()> {
    let desk = Arc::clone(session);
    super::serve(session, control, move |turn, reply| answer(Arc::clone(&desk), turn, reply)).await
}

/// Gives the turn to the person, until they are done with it or nobody wants the reply.
async fn answer(session: Arc<Session>, turn: Turn, reply: Reply) -> Result<(), Failure> {
    let turn_id = turn.turn_id.clone();
    let (done, put_down) = oneshot::channel();
    let pen = Pen { reply: reply.clone(), done };
    session.tell(Told::Turn(Box::new(turn), pen));
    let ended = reply.ended();
    // Control's end of it comes after ours: it is the answer to that.
    tokio::spawn(async move { session.tell(Told::Ended(turn_id, ended.await)) });
    tokio::select! {
        Ok(()) = put_down => {}
        () = reply.cancelled() => {}
    }
    Ok(())
}
