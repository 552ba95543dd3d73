//! Calls of one message that are answered with one: what a generated server does for them too, with less effort. It makes
//! a buffer of eight KiB for each message and passes both through its machinery for streams.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tonic::{Status, body::Body};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: &str = "identity";

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Answers a call whose message takes at most `largest` bytes. Each field of the message that is a [`Bytes`] is a part of
/// one buffer that holds this message and nothing else.
pub async fn unary<Q, A, F>(request: Request<Body>, largest: usize, answer: impl FnOnce(Q) -> F) -> Response<Body>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A, Status>>,
{
    let answered = async {
        check_encoding(request.headers())?;
        let message = read(request.into_body(), largest).await?;
        let message = Q::decode(message).map_err(|error| Status::internal(error.to_string()))?;
        answer(message).await
    };
    match answered.await {
        Ok(message) => {
            let mut response = Response::new(Body::new(Whole::new(&message)));
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            response
        }
        Err(status) => status.into_http(),
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(ENCODING) {
        Some(encoding) if encoding != IDENTITY => {
            let encoding = encoding.to_str().unwrap_or_default();
            let mut status = Status::unimplemented(format!("content compressed with {encoding} is not supported"));
            status
                .metadata_mut()
                .insert(ACCEPT_ENCODING, tonic::metadata::MetadataValue::from_static(IDENTITY));
            Err(status)
        }
        _ => Ok(()),
    }
}

/// Reads the message, and to the end of the call.
async fn read(mut body: Body, largest: usize) -> Result<Bytes, Status> {
    let mut received = Received::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            received.push(data, largest)?;
        }
        if body.is_end_stream() {
            break;
        }
    }
    received.finish()
}

/// What has been received of a message.
#[derive(Debug, Default)]
struct Received {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    begun: usize,
    message: BytesMut,
    /// The length of the message, once it is known.
    length: Option<usize>,
}

impl Received {
    fn push(&mut self, mut data: Bytes, largest: usize) -> Result<(), Status> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let rest = &mut self.prefix[self.begun..];
                let missing = rest.len().min(data.len());
                data.copy_to_slice(&mut rest[..missing]);
                self.begun += missing;
                if self.begun < PREFIX {
                    return Ok(());
                }
                let length = length(&self.prefix, largest)?;
                self.message.reserve(length);
                *self.length.insert(length)
            }
        };
        let missing = length - self.message.len();
        self.message.extend_from_slice(&data[..missing.min(data.len())]);
        Ok(())
    }

    fn finish(self) -> Result<Bytes, Status> {
        match self.length {
            None if self.begun == 0 => Err(Status::internal("the call has no message")),
            Some(length) if length == self.message.len() => Ok(self.message.freeze()),
            _ => Err(Status::internal("the call ends in the middle of its message")),
        }
    }
}

fn length(mut prefix: &[u8], largest: usize) -> Result<usize, Status> {
    if prefix.get_u8() != 0 {
        return Err(Status::internal(
            "the message is compressed but the call does not say how",
        ));
    }
    let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
    if length > largest {
        // In the words of generated servers.
        return Err(Status::out_of_range(format!(
            "Error, decoded message length too large: found {length} bytes, the limit is: {largest} bytes"
        )));
    }
    Ok(length)
}

/// A message and the status of a call that went well.
struct Whole {
    message: Option<Bytes>,
    ended: bool,
}

impl Whole {
    fn new(message: &impl Message) -> Self {
        let length = message.encoded_len();
        let mut bytes = Vec::with_capacity(PREFIX + length);
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        // A vector has room for everything.
        let _ = message.encode(&mut bytes);
        Self {
            message: Some(bytes.into()),
            ended: false,
        }
    }
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Some(message) = this.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut this.ended, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(STATUS, OK);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use tonic_health::pb::HealthCheckRequest;

    use super::*;

    const LARGEST: usize = 64;

    fn framed(compressed: u8, length: u32, message: &[u8]) -> Vec<u8> {
        [&[compressed][..], &length.to_be_bytes(), message].concat()
    }

    async fn call(pieces: Vec<Vec<u8>>, encoding: Option<&'static str>) -> Result<String, (String, String)> {
        let frames = pieces
            .into_iter()
            .map(|piece| Ok::<_, Status>(Frame::data(piece.into())));
        let mut request = Request::new(Body::new(StreamBody::new(stream::iter(frames))));
        if let Some(encoding) = encoding {
            request
                .headers_mut()
                .insert(ENCODING, HeaderValue::from_static(encoding));
        }
        let mirror = async |request: HealthCheckRequest| Ok(request);
        let response = unary(request, LARGEST, mirror).await;
        assert_eq!(response.headers()[CONTENT_TYPE], GRPC);
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Err((status.code().to_string(), status.message().to_owned()));
        }
        let answer = response.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()[STATUS], OK);
        let bytes = answer.to_bytes();
        let length = u32::from_be_bytes(bytes[1..PREFIX].try_into().unwrap());
        assert_eq!((bytes[0], length as usize), (0, bytes.len() - PREFIX));
        Ok(HealthCheckRequest::decode(&bytes[PREFIX..]).unwrap().service)
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_refused() {
        let refused = async |piece: Vec<u8>, encoding, part: &str| {
            let (_, message) = call(vec![piece], encoding).await.unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        refused(vec![], None, "no message").await;
        refused(vec![0, 0], None, "in the middle").await;
        refused(framed(0, 3, &[1]), None, "in the middle").await;
        refused(framed(1, 0, &[]), None, "does not say how").await;
        refused(framed(0, 65, &[]), None, "found 65 bytes, the limit is: 64 bytes").await;
        refused(framed(0, 1, &[0xff]), None, "invalid").await;
        refused(framed(0, 0, &[]), Some("gzip"), "gzip").await;
        assert_eq!(call(vec![framed(0, 0, &[])], Some(IDENTITY)).await, Ok(String::new()));
    }

    proptest! {
        #[test]
        fn a_message_may_come_in_pieces(service in "[a-z]{0,40}", cuts in proptest::collection::vec(0_usize..60, 0..5)) {
            let message = HealthCheckRequest { service: service.clone() }.encode_to_vec();
            let whole = framed(0, u32::try_from(message.len()).unwrap(), &message);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| whole[cut[0]..cut[1]].to_vec()).collect();
            let answered = futures::executor::block_on(call(pieces, None));
            prop_assert_eq!(answered, Ok(service));
        }
    }
}
