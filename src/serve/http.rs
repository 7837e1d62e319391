//! Requests and responses.

use super::look::Question;
use super::run::Watched;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::mpsc::{self, Sender};
use tiny_http::{Header, Method, Request, Response};

/// Bytes of a picture that is drawn on the page; a photo fits too.
const MOST_BYTES: usize = 16 << 20;

/// The page's files: path, type, text.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html", include_str!("../../assets/web/serve/index.html")),
    ("/serve.js", "text/javascript", include_str!("../../assets/web/serve/serve.js")),
    ("/style.css", "text/css", include_str!("../../assets/web/shared/style.css")),
    ("/pad.js", "text/javascript", include_str!("../../assets/web/shared/pad.js")),
    ("/bars.js", "text/javascript", include_str!("../../assets/web/shared/bars.js")),
    ("/chart.js", "text/javascript", include_str!("../../assets/web/shared/chart.js")),
    ("/pixels.js", "text/javascript", include_str!("../../assets/web/shared/pixels.js")),
];

/// Nothing from elsewhere, nothing for elsewhere.
const HEADERS: [(&str, &str); 5] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

/// A response before it is sent.
struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, value: &Value) -> Self {
        Self { status, kind: "application/json", body: value.to_string().into_bytes() }
    }

    fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error": message }))
    }
}

/// Answers one request.
pub(super) fn respond(mut request: Request, watched: &Watched, questions: &Sender<Question>) {
    let reply = match refusal(&request) {
        Some(reply) => reply,
        None => route(&mut request, watched, questions),
    };
    send(request, reply);
}

/// Answers a request for which there is no thread.
pub(super) fn refuse_more(request: Request) {
    send(request, Reply::error(503, "too many requests at once; wait a little"));
}

fn send(request: Request, reply: Reply) {
    let mut response = Response::from_data(reply.body).with_status_code(reply.status);
    let kind = format!("{}; charset=utf-8", reply.kind);
    for (name, value) in HEADERS.into_iter().chain([("Content-Type", kind.as_str())]) {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    // A client that has gone is nobody's problem.
    let _ = request.respond(response);
}

/// Why a request is not answered, if it is not: it names another host, or comes from another page.
fn refusal(request: &Request) -> Option<Reply> {
    let hosts: Vec<&str> = values(request, "Host").collect();
    if hosts.len() != 1 || !is_loopback(hosts[0]) {
        return Some(Reply::error(403, "this page answers to 127.0.0.1 and localhost only"));
    }
    // The port may be another than ours where a tunnel leads here, but page and request must agree.
    let here = format!("http://{}", hosts[0]);
    if values(request, "Origin").any(|origin| !origin.eq_ignore_ascii_case(&here)) {
        return Some(Reply::error(403, "requests from other pages are refused"));
    }
    None
}

fn values<'a>(request: &'a Request, name: &'static str) -> impl Iterator<Item = &'a str> {
    request
        .headers()
        .iter()
        .filter(move |header| header.field.equiv(name))
        .map(|header| header.value.as_str())
}

/// Whether a `Host` is one of this machine's names for itself, with any port or none.
fn is_loopback(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        let Some((start, rest)) = host.split_at_checked(name.len()) else { return false };
        start.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    })
}

fn route(request: &mut Request, watched: &Watched, questions: &Sender<Question>) -> Reply {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let file = FILES.iter().find(|(name, _, _)| *name == path);
    match (request.method(), path) {
        (Method::Get | Method::Head, _) if let Some((_, kind, text)) = file => {
            Reply { status: 200, kind, body: text.as_bytes().to_vec() }
        }
        (Method::Get, "/api/run") => Reply::json(200, &watched.about()),
        (Method::Get, "/api/events") => match query.strip_prefix("from=").map(str::parse) {
            Some(Ok(from)) => Reply::json(200, &watched.events(from)),
            _ => Reply::error(400, "expected ?from=N, a number of bytes"),
        },
        (Method::Post, "/api/predict") => predict(request, watched, questions),
        (_, "/api/run" | "/api/events" | "/api/predict") => Reply::error(405, "not by this method"),
        _ if file.is_some() => Reply::error(405, "not by this method"),
        _ => Reply::error(404, "there is nothing here; the page is at /"),
    }
}

fn predict(request: &mut Request, watched: &Watched, questions: &Sender<Question>) -> Reply {
    if !watched.has_model() {
        return Reply::error(409, "the run has no model yet; it has one when its training is over");
    }
    if request.body_length().is_some_and(|length| length > MOST_BYTES) {
        return Reply::error(413, "a picture of at most 16 MiB is expected");
    }
    let mut picture = Vec::new();
    let read = request.as_reader().take(MOST_BYTES as u64 + 1).read_to_end(&mut picture);
    if read.is_err() || picture.len() > MOST_BYTES {
        return Reply::error(413, "a picture of at most 16 MiB is expected");
    }
    let (reply, answer) = mpsc::channel();
    if questions.send(Question { picture, reply }).is_err() {
        return Reply::error(503, "the program is about to end");
    }
    match answer.recv() {
        Ok(Ok(value)) => Reply::json(200, &value),
        Ok(Err(error)) => Reply::error(422, &format!("{error:#}")),
        Err(_) => Reply::error(503, "the program is about to end"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["127.0.0.1", "127.0.0.1:2828", "localhost:80", "LOCALHOST", "[::1]:9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:",
            "127.0.0.1:80x",
            "localhost:2828:1",
            "evil.example:2828",
            "127.0.0.11",
            "[::1]evil",
            "0.0.0.0",
            "localhost.",
            "é27.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
