//! What is answered to which request.

use super::look::Question;
use super::run::Watched;
use super::wire::{self, Request};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::sync::mpsc::{self, Sender};

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
pub(super) const HEADERS: [(&str, &str); 5] = [
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
pub(super) struct Reply {
    pub(super) status: u16,
    /// The type of the body.
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, value: &Value) -> Self {
        Self { status, kind: "application/json", body: value.to_string().into_bytes() }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error": message }))
    }
}

/// Answers the request of a connection.
pub(super) fn respond(stream: &TcpStream, watched: &Watched, questions: &Sender<Question>) {
    let (reply, headers_only) = match Request::read(stream) {
        Ok(None) => return,
        Ok(Some(mut request)) => {
            let reply = refusal(&request).unwrap_or_else(|| route(&mut request, watched, questions));
            (reply, request.method == "HEAD")
        }
        Err(reply) => (reply, false),
    };
    wire::send(stream, &reply, headers_only);
}

/// Why a request is not answered, if it is not: it names another host, or comes from another page.
fn refusal(request: &Request<'_>) -> Option<Reply> {
    let hosts: Vec<&str> = request.values("Host").collect();
    if hosts.len() != 1 || !is_loopback(hosts[0]) {
        return Some(Reply::error(403, "this page answers to 127.0.0.1 and localhost only"));
    }
    // The port may be another than ours where a tunnel leads here, but page and request must agree.
    let here = format!("http://{}", hosts[0]);
    if request.values("Origin").any(|origin| !origin.eq_ignore_ascii_case(&here)) {
        return Some(Reply::error(403, "requests from other pages are refused"));
    }
    None
}

/// Whether a `Host` is one of this machine's names for itself, with any port or none.
fn is_loopback(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        let Some((start, rest)) = host.split_at_checked(name.len()) else { return false };
        start.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    })
}

fn route(request: &mut Request<'_>, watched: &Watched, questions: &Sender<Question>) -> Reply {
    let target = request.target.clone();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let file = FILES.iter().find(|(name, _, _)| *name == path);
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", _) if let Some((_, kind, text)) = file => {
            Reply { status: 200, kind, body: text.as_bytes().to_vec() }
        }
        ("GET", "/api/run") => Reply::json(200, &watched.about()),
        ("GET", "/api/events") => match query.strip_prefix("from=").map(str::parse) {
            Some(Ok(from)) => Reply::json(200, &watched.events(from)),
            _ => Reply::error(400, "expected ?from=N, a number of bytes"),
        },
        ("POST", "/api/predict") => predict(request, watched, questions).unwrap_or_else(|refused| refused),
        (_, "/api/run" | "/api/events" | "/api/predict") => Reply::error(405, "not by this method"),
        _ if file.is_some() => Reply::error(405, "not by this method"),
        _ => Reply::error(404, "there is nothing here; the page is at /"),
    }
}

fn predict(
    request: &mut Request<'_>,
    watched: &Watched,
    questions: &Sender<Question>,
) -> Result<Reply, Reply> {
    let over = || Reply::error(503, "the program is about to end");
    if !watched.has_model() {
        return Err(Reply::error(409, "the run has no model yet; it has one when its training is over"));
    }
    let picture = request.body(MOST_BYTES)?;
    let (reply, answer) = mpsc::channel();
    questions.send(Question { picture, reply }).map_err(|_| over())?;
    match answer.recv().map_err(|_| over())? {
        Ok(value) => Ok(Reply::json(200, &value)),
        Err(error) => Err(Reply::error(422, &format!("{error:#}"))),
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
