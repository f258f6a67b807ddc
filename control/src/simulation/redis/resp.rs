//! Redis's protocol, as a server speaks it.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

pub(super) enum Reply {
    Nil,
    Okay,
    Number(i64),
    Bulk(Vec<u8>),
    List(Vec<Reply>),
    /// A message that comes unasked.
    Push(Vec<Reply>),
    Error(&'static str),
}

pub(super) fn bulk(text: impl AsRef<[u8]>) -> Reply {
    Reply::Bulk(text.as_ref().to_vec())
}

pub(super) fn text(arg: &[u8]) -> &str {
    std::str::from_utf8(arg).expect("the argument is text")
}

impl Reply {
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Nil => to.extend_from_slice(b"$-1\r\n"),
            Self::Okay => to.extend_from_slice(b"+OK\r\n"),
            Self::Number(number) => to.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Self::Error(error) => to.extend_from_slice(format!("-{error}\r\n").as_bytes()),
            Self::Bulk(bytes) => {
                to.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                to.extend_from_slice(bytes);
                to.extend_from_slice(b"\r\n");
            }
            Self::List(replies) | Self::Push(replies) => {
                let kind = if matches!(self, Self::Push(_)) { '>' } else { '*' };
                to.extend_from_slice(format!("{kind}{}\r\n", replies.len()).as_bytes());
                replies.iter().for_each(|reply| reply.encode(to));
            }
        }
    }
}

/// Reads the next command with its arguments; `None` at the end.
pub(super) async fn read_call(from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<Vec<u8>>> {
    let count = read_length(from).await?;
    let mut call = Vec::with_capacity(count);
    for _ in 0..count {
        let length = read_length(from).await?;
        let mut arg = vec![0; length + 2];
        from.read_exact(&mut arg).await.ok()?;
        arg.truncate(length);
        call.push(arg);
    }
    Some(call)
}

/// Reads a line with a number after its first character.
async fn read_length(from: &mut (impl AsyncBufRead + Unpin)) -> Option<usize> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).await.ok()?;
    text(line.get(1..)?).trim_end().parse().ok()
}
