//! A person's session: the person sees which turns wait, and claims turns one by one. It has
//! leases, reconnects and repeats requests as a program's session does.

use super::{
    Control, ControlError, Failure, Reply, Turn, serve,
    session::{Pen, PersonEvent, Session, Settings},
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Prepares a person's session, which sends its events to `person`.
pub fn session(settings: Settings, person: mpsc::UnboundedSender<PersonEvent>) -> Arc<Session> {
    // Without places, control delivers only claimed turns.
    Session::new(Settings { concurrency: 0, ..settings }, Some(person))
}

/// Serves a person's session until its `stop` is cancelled.
///
/// # Errors
///
/// Control refuses the session.
pub async fn serve(session: &Arc<Session>, control: &Control) -> Result<(), ControlError> {
    let desk = Arc::clone(session);
    serve::serve(session, control, move |turn, reply| answer(Arc::clone(&desk), turn, reply)).await
}

/// Gives the turn to the person, and waits until they end it or nobody wants the reply.
async fn answer(session: Arc<Session>, turn: Turn, reply: Reply) -> Result<(), Failure> {
    let turn_id = turn.turn_id.clone();
    let (done, put_down) = oneshot::channel();
    let pen = Pen { reply: reply.clone(), done };
    session.tell(PersonEvent::Turn(Box::new(turn), pen));
    let ended = reply.ended();
    // A task of its own, since control ends an answered turn only after this handler has ended.
    tokio::spawn(async move { session.tell(PersonEvent::Ended(turn_id, ended.await)) });
    tokio::select! {
        Ok(()) = put_down => {}
        () = reply.cancelled() => {}
    }
    Ok(())
}
