//! A local page: draw a digit and see what the network sees, and watch a run while it trains.
//!
//! One loop takes connections and gives each to a thread of its own; one more thread owns the network and answers for it.
//! The address is of the loopback interface, nothing is loaded from elsewhere, and requests that name another host are
//! refused, so that no page of the web can reach in by a name of its own that leads here (DNS rebinding).
//!
//! ```text
//! GET  /                      the page, and its files
//! GET  /api/run               what the run is
//! GET  /api/events?from=N     events of the run from byte N on, whether it has a model by now
//! POST /api/predict           a picture file -> what `predict` makes of it, and what each layer does
//! ```

mod http;
mod look;
mod run;
mod wire;

use crate::error::Error;
use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub use run::Watched;

/// The port of `serve`: 28 by 28.
pub const PORT: &str = "2828";
/// How often it is looked whether to stop.
const TURN: Duration = Duration::from_millis(100);
/// Connections at once. A browser has six; whoever has more open is not one, and waits until the silent ones are dropped.
const MOST_CONNECTIONS: usize = 64;

/// A page that listens already.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on the loopback interface; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`Error::Usage`] when the port is taken.
    pub fn bind(port: u16) -> Result<Self> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .and_then(|listener| Ok(Self { address: listener.local_addr()?, listener }));
        bound.map_err(|error| {
            let message = format!(
                "cannot listen on port {port} ({error}); choose another port, or 0 for any: --port 0"
            );
            Error::Usage(message).into()
        })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers until `stop` is set.
    pub fn run(&self, watched: &Arc<Watched>, stop: &AtomicBool) {
        let (questions, asked) = mpsc::channel();
        let model = Arc::clone(watched);
        std::thread::spawn(move || look::answer(&model, &asked));
        let open = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| self.wake(stop));
            for stream in self.listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match stream {
                    Ok(stream) if open.load(Ordering::Relaxed) < MOST_CONNECTIONS => {
                        answer(stream, watched, &questions, &open);
                    }
                    // No thread, or no descriptor: that passes.
                    _ => std::thread::sleep(TURN),
                }
            }
        });
    }

    /// Waits for `stop`, and lets the loop look at it by a connection of its own.
    fn wake(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(TURN);
        }
        // Where nothing can connect, nothing waits either.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers a connection on a thread that nobody waits for: a client that never ends its request must not keep the program
/// from ending.
fn answer(
    stream: TcpStream,
    watched: &Arc<Watched>,
    questions: &mpsc::Sender<look::Question>,
    open: &Arc<AtomicUsize>,
) {
    open.fetch_add(1, Ordering::Relaxed);
    let (watched, questions, open) = (Arc::clone(watched), questions.clone(), Arc::clone(open));
    std::thread::spawn(move || {
        http::respond(&stream, &watched, &questions);
        open.fetch_sub(1, Ordering::Relaxed);
    });
}
