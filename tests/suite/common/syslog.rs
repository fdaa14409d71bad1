//! A socket in the place of syslog's.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Receives what hooks tell syslog.
pub(crate) struct Syslog(UnixDatagram);

impl Syslog {
    /// Makes a socket at this path.
    pub(crate) fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        Self(socket)
    }

    /// The messages that came in since it was asked last.
    pub(crate) fn messages(&self) -> Vec<String> {
        let mut buffer = vec![0; 1 << 16];
        let next = || match self.0.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(err) => {
                assert_eq!(err.kind(), io::ErrorKind::WouldBlock, "{err}");
                None
            }
        };
        std::iter::from_fn(next).collect()
    }
}
