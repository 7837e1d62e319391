//! HTTP/1.1 on a socket: one request and one response a connection, within limits of size and time.
//!
//! Browsers hold connections open that they may need later; since none is kept here, none holds anything up.

use super::http::Reply;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A client that is silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(10);
/// No request takes longer.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a request line with its headers.
const MOST_HEAD: usize = 16 << 10;
/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// Bytes that are read after an answer, so that a client that is still sending gets it.
const MOST_REST: u64 = 4 << 20;

/// A request; its body is still to be read.
pub(super) struct Request<'a> {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    /// What came after the head already.
    rest: Vec<u8>,
    stream: &'a TcpStream,
    end: Instant,
}

impl<'a> Request<'a> {
    /// Reads a request up to its body; `None` where nobody asks for anything.
    pub(super) fn read(stream: &'a TcpStream) -> Result<Option<Self>, Reply> {
        let end = Instant::now() + DEADLINE;
        let set = stream.set_read_timeout(Some(SILENCE)).and(stream.set_write_timeout(Some(SILENCE)));
        if set.is_err() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        loop {
            match more(stream, &mut bytes, 4096, end) {
                Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(Reply::error(400, "the request ends in its middle")),
                Err(_) => return Err(Reply::error(408, "the request does not end")),
                Ok(_) => {}
            }
            if let Some(request) = parse(&bytes, stream, end)? {
                return Ok(Some(request));
            }
            if bytes.len() > MOST_HEAD {
                return Err(Reply::error(431, "the request's headers are too long"));
            }
        }
    }

    /// The values of a header.
    pub(super) fn values<'b>(&'b self, name: &'static str) -> impl Iterator<Item = &'b str> {
        let named = self.headers.iter().filter(move |(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Reads the body, which must say how long it is.
    pub(super) fn body(&mut self, most: usize) -> Result<Vec<u8>, Reply> {
        let lengths: Vec<&str> = self.values("Content-Length").collect();
        let [length] = lengths[..] else { return Err(Reply::error(411, "one Content-Length is expected")) };
        let length = match length.parse::<u64>() {
            Ok(length) if length <= most as u64 => length as usize,
            Ok(_) => return Err(Reply::error(413, "the request's body is too long")),
            Err(_) => return Err(Reply::error(400, "Content-Length is not a number")),
        };
        let mut body = std::mem::take(&mut self.rest);
        while body.len() < length {
            match more(self.stream, &mut body, length, self.end) {
                Ok(0) => return Err(Reply::error(400, "the request ends in its middle")),
                Ok(_) => {}
                Err(_) => return Err(Reply::error(408, "the request does not end")),
            }
        }
        body.truncate(length);
        Ok(body)
    }
}

/// Appends what comes next, at most so many bytes at once.
fn more(mut stream: &TcpStream, bytes: &mut Vec<u8>, most: usize, end: Instant) -> io::Result<usize> {
    if Instant::now() > end {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut chunk = [0; 64 << 10];
    let most = most.min(chunk.len());
    let count = stream.read(&mut chunk[..most])?;
    bytes.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// A request from its first bytes; `None` where they are too few.
fn parse<'a>(bytes: &[u8], stream: &'a TcpStream, end: Instant) -> Result<Option<Request<'a>>, Reply> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= MOST_HEAD => head,
        Ok(httparse::Status::Complete(_)) => {
            return Err(Reply::error(431, "the request's headers are too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Reply::error(431, "the request has too many headers"));
        }
        Err(_) => return Err(Reply::error(400, "this is not HTTP")),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(Some(Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
        rest: bytes[head..].to_vec(),
        stream,
        end,
    }))
}

/// Sends a response, without its body to whoever asked for the headers alone. A client that has gone is nobody's problem.
pub(super) fn send(mut stream: &TcpStream, reply: &Reply, headers_only: bool) {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n",
        reply.status,
        reason(reply.status),
        reply.kind,
        reply.body.len()
    );
    for (name, value) in super::http::HEADERS {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body: &[u8] = if headers_only { &[] } else { &reply.body };
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    // Closing on a client that is still sending would take the answer away from it.
    if sent.and_then(|()| stream.shutdown(Shutdown::Write)).is_ok() {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
        let _ = io::copy(&mut stream.take(MOST_REST), &mut io::sink());
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}
