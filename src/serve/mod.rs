//! A local page: draw a digit and see what the network sees, and watch a run while it trains.
//!
//! One loop takes requests and gives each to a thread of its own; one more thread owns the network and answers for it.
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

use crate::error::Error;
use anyhow::{Result, anyhow};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub use run::Watched;

/// The port of `serve`: 28 by 28.
pub const PORT: &str = "2828";
/// How often the loop looks whether it should stop.
const TURN: Duration = Duration::from_millis(100);
/// Requests at once. A page has two; whoever has more open is not one.
const MOST_REQUESTS: usize = 32;

/// A page that listens already.
pub struct Server {
    http: tiny_http::Server,
    address: SocketAddr,
}

impl Server {
    /// Listens on the loopback interface; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`Error::Usage`] when the port is taken.
    pub fn bind(port: u16) -> Result<Self> {
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            Error::Usage(format!(
                "cannot listen on port {port} ({error}); choose another, or --port 0 for any"
            ))
        })?;
        let address = http.server_addr().to_ip().ok_or_else(|| anyhow!("no address to listen on"))?;
        Ok(Self { http, address })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers until `stop` is set.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn run(&self, watched: &Arc<Watched>, stop: &AtomicBool) -> Result<()> {
        // No thread is waited for: a client that never ends its request must not keep the program from ending.
        let (questions, asked) = mpsc::channel();
        let model = Arc::clone(watched);
        std::thread::spawn(move || look::answer(&model, &asked));
        let open = Arc::new(AtomicUsize::new(0));
        while !stop.load(Ordering::Relaxed) {
            let Some(request) = self.http.recv_timeout(TURN)? else { continue };
            if open.load(Ordering::Relaxed) >= MOST_REQUESTS {
                http::refuse_more(request);
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let (watched, questions, open) = (Arc::clone(watched), questions.clone(), Arc::clone(&open));
            std::thread::spawn(move || {
                http::respond(request, &watched, &questions);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }
}
