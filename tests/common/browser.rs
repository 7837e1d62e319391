//! A real headless Chromium, driven by its DevTools protocol over a pair of pipes.
//!
//! `GPU_MNIST_BROWSER` names the program, or is `require`; without it `chromium` is taken where there is one.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A slow machine compiles WebGPU kernels for long; nothing here is timed.
const PATIENCE: Duration = Duration::from_secs(240);
/// Where Chromium, Chrome and Edge are called by these names.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "microsoft-edge"];

/// A page of a browser, which ends with it.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    next: u64,
    /// What pages complained about: exceptions, console errors, refused requests.
    pub(crate) complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The program to run; `None`, said plainly, where there is none and none is required.
fn program() -> Option<String> {
    let wanted = std::env::var("GPU_MNIST_BROWSER").ok();
    let candidates: Vec<String> = match wanted.as_deref() {
        None | Some("require") => NAMES.map(str::to_owned).to_vec(),
        Some(name) => vec![name.to_owned()],
    };
    let runs = |name: &String| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = candidates.iter().find(|name| runs(name)).cloned();
    if found.is_none() {
        let message = format!("there is no browser here (tried {})", candidates.join(", "));
        assert!(wanted.is_none(), "{message}");
        println!("SKIPPED: {message}; apt-get install chromium");
    }
    found
}

impl Browser {
    /// Starts the browser with an empty page; with `webgpu`, its software adapter may be used.
    pub(crate) fn open(webgpu: bool) -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            // On a loaded machine a kernel of the software adapter looks like a hang.
            "--disable-gpu-watchdog",
            "--remote-debugging-pipe",
        ];
        // The browser reads commands from descriptor 3 and answers on 4, which a shell can make of 0 and 1.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", &program])
            .args(flags)
            .args(webgpu.then_some("--enable-unsafe-webgpu"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            // The browser brings its own software adapter; what tests choose for the program is not meant for it.
            .env_remove("VK_ICD_FILENAMES")
            .env_remove("VK_DRIVER_FILES")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (commands, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                message.pop();
                let parsed = serde_json::from_slice(&message).unwrap_or(Value::Null);
                if sender.send(parsed).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        browser.session = session.as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser.size(1180, 900);
        Some(browser)
    }

    /// Sends a command and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = match self.messages.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => panic!("{method}: the browser does not answer"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser has ended"),
            };
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.complaints.push(params["args"].to_string());
            }
            _ => {}
        }
    }

    /// The size of the window, in CSS pixels.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Opens an address.
    pub(crate) fn go(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.until("document.readyState !== 'loading'");
    }

    /// The value of an expression, which may be a promise.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression) != true {
            if Instant::now() > end {
                let text = self.value("document.body.innerText");
                panic!("{expression} never came true; complaints: {:?}; the page: {text}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Draws strokes on an element with the mouse; points are shares of its sides.
    pub(crate) fn draw(&mut self, element: &str, strokes: &[Vec<(f64, f64)>]) {
        let place = self.place(element);
        for stroke in strokes {
            for (i, &point) in stroke.iter().enumerate() {
                let (x, y) = place(point);
                let kind = if i == 0 { "mousePressed" } else { "mouseMoved" };
                self.mouse(kind, x, y);
            }
            let (x, y) = place(*stroke.last().unwrap());
            self.mouse("mouseReleased", x, y);
        }
    }

    /// The same with a finger.
    pub(crate) fn touch(&mut self, element: &str, strokes: &[Vec<(f64, f64)>]) {
        let place = self.place(element);
        for stroke in strokes {
            for (i, &point) in stroke.iter().enumerate() {
                let (x, y) = place(point);
                let kind = if i == 0 { "touchStart" } else { "touchMove" };
                let params = json!({ "type": kind, "touchPoints": [{ "x": x, "y": y }] });
                self.call("Input.dispatchTouchEvent", params);
            }
            self.call("Input.dispatchTouchEvent", json!({ "type": "touchEnd", "touchPoints": [] }));
        }
    }

    fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        let buttons = u8::from(kind != "mouseReleased");
        let params =
            json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", params);
    }

    fn place(&mut self, element: &str) -> impl Fn((f64, f64)) -> (f64, f64) + use<> {
        self.value(&format!("document.querySelector('{element}').scrollIntoView({{ block: 'center' }})"));
        let rectangle = self.value(&format!(
            "(() => {{ const r = document.querySelector('{element}').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }})()"
        ));
        let [x, y, width, height] = [0, 1, 2, 3].map(|i| rectangle[i].as_f64().unwrap());
        move |(px, py)| (x + px * width, y + py * height)
    }

    /// Clicks on an element.
    pub(crate) fn click(&mut self, element: &str) {
        self.draw(element, &[vec![(0.5, 0.5)]]);
    }

    /// Pretends that the user likes `light` or `dark`.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// With `GPU_MNIST_SCREENSHOTS`, writes the whole page into that folder as `name-light.png` and `name-dark.png`.
    pub(crate) fn screenshots(&mut self, name: &str) {
        let Ok(folder) = std::env::var("GPU_MNIST_SCREENSHOTS") else { return };
        for scheme in ["light", "dark"] {
            self.scheme(scheme);
            let shot = json!({ "format": "png", "captureBeyondViewport": true });
            // A data address is the simplest decoder of base64 at hand.
            let data = self.call("Page.captureScreenshot", shot)["data"].as_str().unwrap().to_owned();
            std::fs::create_dir_all(&folder).unwrap();
            let path = std::path::Path::new(&folder).join(format!("{name}-{scheme}.png"));
            std::fs::write(&path, base64(&data)).unwrap();
            println!("{}", path.display());
        }
        self.scheme("light");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked politely it also ends its own processes.
        self.session.clear();
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for quad in text.as_bytes().chunks(4) {
        let letters = quad.iter().filter(|&&letter| letter != b'=').count();
        let bits = (0..4).fold(0_u32, |bits, i| {
            bits << 6 | u32::from(quad.get(i).map_or(0, |&l| if l == b'=' { 0 } else { digit(l) }))
        });
        bytes.extend(&bits.to_be_bytes()[1..letters]);
    }
    bytes
}

/// Strokes of a digit as a hand makes them, on a sheet of 1 by 1.
pub(crate) fn strokes(digit: usize) -> Vec<Vec<(f64, f64)>> {
    let arc = |cx: f64, cy: f64, rx: f64, ry: f64, from: f64, to: f64| -> Vec<(f64, f64)> {
        (0..=24)
            .map(|i| (from + (to - from) * f64::from(i) / 24.0).to_radians())
            .map(|angle| (cx + rx * angle.cos(), cy + ry * angle.sin()))
            .collect()
    };
    let line = |from: (f64, f64), to: (f64, f64)| -> Vec<(f64, f64)> {
        (0..=12)
            .map(|i| f64::from(i) / 12.0)
            .map(|t| (from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t))
            .collect()
    };
    match digit {
        0 => vec![arc(0.5, 0.5, 0.21, 0.31, -80.0, 280.0)],
        1 => vec![line((0.54, 0.18), (0.48, 0.82))],
        2 => {
            let mut top = arc(0.49, 0.35, 0.2, 0.16, 190.0, 395.0);
            top.extend(line((0.62, 0.47), (0.3, 0.8)));
            top.extend(line((0.3, 0.8), (0.74, 0.78)));
            vec![top]
        }
        3 => {
            let mut all = arc(0.47, 0.34, 0.19, 0.15, 200.0, 440.0);
            all.extend(arc(0.47, 0.66, 0.22, 0.17, 280.0, 520.0));
            vec![all]
        }
        4 => vec![
            [line((0.34, 0.2), (0.3, 0.54)), line((0.3, 0.54), (0.72, 0.52))].concat(),
            line((0.64, 0.22), (0.58, 0.84)),
        ],
        7 => vec![[line((0.28, 0.22), (0.72, 0.21)), line((0.72, 0.21), (0.45, 0.84))].concat()],
        _ => panic!("nobody has drawn a {digit} yet"),
    }
}
