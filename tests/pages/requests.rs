//! Requests that no page of ours makes: each is refused, and the next one is answered.

use crate::serving::{Serving, reader, reader_folder};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// Sends bytes, ends the sending side, and reads everything.
fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A server that refuses early may close before everything is sent.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn get(address: &str, path: &str, headers: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes())
}

fn post(address: &str, headers: &str, body: &[u8]) -> String {
    let length = body.len();
    let head = format!(
        "POST /api/predict HTTP/1.1\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    exchange(address, &[head.as_bytes(), body].concat())
}

/// A picture file.
fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let image = image::GrayImage::from_fn(width, height, |x, y| image::Luma([pixel(x, y)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn bad_requests_are_refused_and_the_page_goes_on() {
    let folder = reader_folder();
    let serving = Serving::of(folder.path());
    let address = serving.address();
    let host = format!("Host: {address}\r\n");
    let page = get(address, "/", &host);
    assert_eq!(status(&page), 200, "{page}");
    for header in
        ["Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff", "text/html"]
    {
        assert!(page.contains(header), "{header}");
    }
    assert!(!page.contains("https://"), "something is loaded from elsewhere");

    // By another name: DNS rebinding. Two names, or none.
    let port = address.split(':').nth(1).unwrap();
    assert_eq!(status(&get(address, "/", &format!("Host: localhost:{port}\r\n"))), 200);
    for headers in [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: localhost.evil.example:{port}\r\n"),
        format!("{host}Host: evil.example\r\n"),
        String::new(),
        format!("{host}Origin: https://evil.example\r\n"),
        format!("{host}Origin: null\r\n"),
        format!("{host}Origin: http://localhost:{port}\r\n"),
    ] {
        for path in ["/", "/api/run", "/api/events?from=0"] {
            assert_eq!(status(&get(address, path, &headers)), 403, "{path} {headers}");
        }
        assert_eq!(status(&post(address, &headers, b"x")), 403, "{headers}");
    }

    for path in
        ["/nothing", "/../Cargo.toml", "/%2e%2e/etc/passwd", "//", "/api", "/serve.js/", "/api/predict/x"]
    {
        assert_eq!(status(&get(address, path, &host)), 404, "{path}");
    }
    for from in ["", "?from=", "?from=-1", "?from=x", "?from=99999999999999999999999"] {
        assert_eq!(status(&get(address, &format!("/api/events{from}"), &host)), 400, "{from}");
    }
    assert_eq!(status(&get(address, "/api/predict", &host)), 405);
    assert_eq!(
        status(&exchange(
            address,
            format!("DELETE / HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes()
        )),
        405
    );

    for (picture, says) in [
        (Vec::new(), ""),
        (b"not a picture".to_vec(), ""),
        (png(300, 300, |_, _| 255), "blank"),
        (png(300, 300, |_, _| 255)[..40].to_vec(), ""),
    ] {
        let answer = post(address, &host, &picture);
        assert_eq!(status(&answer), 422, "{answer}");
        assert!(answer.contains("\"error\"") && answer.contains(says), "{answer}");
    }
    let huge = format!(
        "POST /api/predict HTTP/1.1\r\n{host}Content-Length: 99999999999\r\nConnection: close\r\n\r\nx"
    );
    assert_eq!(status(&exchange(address, huge.as_bytes())), 413);

    let without_length = format!("POST /api/predict HTTP/1.1\r\n{host}\r\nx");
    assert_eq!(status(&exchange(address, without_length.as_bytes())), 411);
    let negative = format!("POST /api/predict HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\nx");
    assert_eq!(status(&exchange(address, negative.as_bytes())), 400);
    let short = format!("POST /api/predict HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\nx");
    assert_eq!(status(&exchange(address, short.as_bytes())), 400);
    let long = format!("{host}Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(status(&get(address, "/", &long)), 431);
    assert_eq!(status(&get(address, "/", &format!("{host}{}", "A: b\r\n".repeat(100)))), 431);

    // Not HTTP at all; whatever comes back, nothing breaks.
    for nonsense in
        [&b"\0\xff\xfe\r\n\r\n"[..], b"GET\r\n\r\n", b"", &[b'A'; 100_000], b"GET / HTTP/9.9\r\n\r\n"]
    {
        exchange(address, nonsense);
    }
    // Requests that never end, or never begin, do not hold up those that do.
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let stalled: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!("POST /api/predict HTTP/1.1\r\n{host}Content-Length: 1000\r\n\r\nhalf");
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    recognises_a_test_image(address, &host);
    assert_eq!(serving.interrupt().code(), Some(0));
    drop((silent, stalled));
}

/// A picture in the network's form passes through unchanged, so the answer is the network's own.
fn recognises_a_test_image(address: &str, host: &str) {
    let trained = reader();
    let image = trained.data.test.images.rows(0..1).to_vec();
    let answer = post(address, host, &png(28, 28, |x, y| image[(y * 28 + x) as usize]));
    assert_eq!(status(&answer), 200, "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let json: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let ours = gpu_mnist::train::evaluation::softmax(&trained.logits(1)[0]);
    for (class, p) in ours.iter().enumerate() {
        let theirs = json["probabilities"][class].as_f64().unwrap();
        assert!((theirs - p).abs() < 1e-5, "class {class}: {theirs} and {p}");
    }
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let folder = reader_folder();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = folder.path().to_str().unwrap();
    for (arguments, code, says) in [
        (vec!["serve", "/nonexistent"], 4, "gpu-mnist train"),
        (vec!["serve", run, "--port", &port], 2, "--port 0"),
        (vec!["serve", run, "--port", "65536"], 2, "65536"),
        (vec!["train", &format!("--serve={port}"), "--out", "/nonexistent/run"], 2, "another port"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_gpu-mnist")).args(&arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(says), "{arguments:?}: {message}");
    }
}
