//! A program that is an agent.

use crate::{
    control::{Control, ControlError},
    outcome::{Failure, Gone},
    reply::Reply,
    serve,
    session::Settings,
};
use arizuko_proto::{signals::Signals, v1::Turn};
use std::{io, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long to wait for the end of all work when the agent stops. Control requeues the turns that
/// remain after that, when the lease ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a handler returns: the rest of its reply, or nothing.
pub trait Said: Send + 'static {
    /// Returns the text, or why the agent could not answer.
    ///
    /// # Errors
    ///
    /// The handler has failed.
    fn text(self) -> Result<String, Failure>;
}

impl Said for () {
    fn text(self) -> Result<String, Failure> {
        Ok(String::new())
    }
}

impl Said for String {
    fn text(self) -> Result<String, Failure> {
        Ok(self)
    }
}

impl Said for &'static str {
    fn text(self) -> Result<String, Failure> {
        Ok(self.to_owned())
    }
}

impl<S: Said, E: Into<Failure> + Send + 'static> Said for Result<S, E> {
    fn text(self) -> Result<String, Failure> {
        self.map_err(Into::into)?.text()
    }
}

/// Takes the turns of a folder, by default the key's, and calls a handler with each: one at a time
/// and without earlier messages, by default.
pub struct Agent<H> {
    handler: H,
    control: Arc<Control>,
    settings: Settings,
}

impl<H, F> Agent<H>
where
    H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
    F: Future<Output: Said> + Send + 'static,
{
    /// Makes an agent of the control that the environment names; see [`Control::from_env`].
    ///
    /// # Errors
    ///
    /// A variable of the environment can't be used.
    pub fn new(handler: H) -> Result<Self, ControlError> {
        Ok(Self::with(Control::from_env()?, handler))
    }

    /// Makes an agent of a control.
    pub fn with(control: Control, handler: H) -> Self {
        let settings = Settings {
            folder: String::new(),
            name: "rust".to_owned(),
            concurrency: 1,
            history: 0,
            attached: Arc::default(),
            stop: CancellationToken::new(),
        };
        Self { handler, control: Arc::new(control), settings }
    }

    /// Sets the folder whose turns the agent takes.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.settings.folder = folder.into();
        self
    }

    /// Sets the name that operators see.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Sets how many turns the agent takes at a time.
    #[must_use]
    pub fn concurrency(mut self, turns: u32) -> Self {
        self.settings.concurrency = turns;
        self
    }

    /// Sets how many earlier messages each turn has, at most 200.
    #[must_use]
    pub fn history(mut self, messages: u32) -> Self {
        self.settings.history = messages;
        self
    }

    /// Returns the control, for calls besides taking turns.
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Returns a token that makes [`run`](Self::run) return when it is cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.settings.stop.clone()
    }

    /// Takes turns until SIGTERM, SIGINT or [`stop`](Self::stop). Then it rejects the unfinished
    /// turns.
    ///
    /// # Errors
    ///
    /// Control refuses the key, the folder or the protocol.
    pub async fn run(self) -> Result<(), ControlError> {
        let Self { handler, control, settings } = self;
        let (stop, handlers) = (settings.stop.clone(), Handle::current());
        let answer = move |turn: Turn, reply: Reply| {
            let answering = answer(handler.clone(), turn, reply.clone());
            let task = AbortOnDropHandle::new(handlers.spawn(answering));
            async move {
                tokio::select! {
                    answered = task => answered.unwrap_or_else(|_| Err(panicked())),
                    () = reply.cancelled() => Err(Gone.into()),
                }
            }
        };
        let (done, mut session) = oneshot::channel();
        let serve = move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            io::Result::Ok(runtime.block_on(serve::run(&control, settings, answer)))
        };
        let thread = thread::Builder::new().name("arizuko".to_owned());
        thread.spawn(move || done.send(serve())).map_err(ControlError::new)?;
        let mut signals = Signals::listen().map_err(ControlError::new)?;
        tokio::select! {
            served = &mut session => return outcome(served),
            () = signals.next() => stop.cancel(),
            () = stop.cancelled() => {}
        }
        timeout(FAREWELL, session).await.map_or(Ok(()), outcome)
    }
}

/// Returns how a session has ended, as its thread tells it.
fn outcome<E>(served: Result<io::Result<Result<(), ControlError>>, E>) -> Result<(), ControlError> {
    match served {
        Ok(Ok(served)) => served,
        Ok(Err(error)) => Err(ControlError::new(error)),
        Err(_) => Err(ControlError::new("the session's thread has failed")),
    }
}

async fn answer<H, F>(handler: H, turn: Turn, reply: Reply) -> Result<(), Failure>
where
    H: Fn(Turn, Reply) -> F,
    F: Future<Output: Said>,
{
    let text = handler(turn, reply.clone()).await.text()?;
    if !text.is_empty() {
        reply.write(text).await?;
    }
    Ok(())
}

fn panicked() -> Failure {
    Failure::new("the agent's handler panicked")
}
