//! One query and its answer, over UDP from a port of its own or over TCP.

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, MessageType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How to reach an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// Sends `query`, under an id of its own, and returns the answer under the query's id.
pub(super) async fn exchange(
    to: SocketAddr,
    protocol: Protocol,
    query: &Message,
    timeout: Duration,
) -> Result<Message> {
    let mut outgoing = query.clone();
    // A fresh id and a fresh port make answers hard to forge.
    outgoing.metadata.id = Message::query().metadata.id;
    let exchanged = async {
        match protocol {
            Protocol::Udp => over_udp(to, &outgoing).await,
            Protocol::Tcp => over_tcp(to, &outgoing).await,
        }
    };
    let answer = tokio::time::timeout(timeout, exchanged)
        .await
        .map_err(|_| anyhow::anyhow!("no answer in time"));
    let mut answer = answer
        .and_then(|answer| answer)
        .with_context(|| format!("the upstream {to} failed"))?;
    answer.metadata.id = query.metadata.id;
    Ok(answer)
}

async fn over_udp(to: SocketAddr, query: &Message) -> Result<Message> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(to).await?;
    socket.send(&query.to_vec()?).await?;
    let largest = query.edns.as_ref().map_or(512, |edns| edns.max_payload().max(512));
    let mut buffer = vec![0; usize::from(largest)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is not an answer to this query may be forged; the real one may still come.
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, query) => return Ok(answer),
            _ => {}
        }
    }
}

async fn over_tcp(to: SocketAddr, query: &Message) -> Result<Message> {
    let mut stream = TcpStream::connect(to).await?;
    let bytes = query.to_vec()?;
    let mut frame = u16::try_from(bytes.len())?.to_be_bytes().to_vec();
    frame.extend(bytes);
    stream.write_all(&frame).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer)?;
    if !answers(&answer, query) {
        bail!("the answer does not fit the query");
    }
    Ok(answer)
}

/// Whether a message is an answer to the query.
fn answers(answer: &Message, query: &Message) -> bool {
    answer.metadata.id == query.metadata.id
        && answer.metadata.message_type == MessageType::Response
        // Some servers leave the question out when they refuse.
        && (answer.queries == query.queries || answer.queries.is_empty())
}
