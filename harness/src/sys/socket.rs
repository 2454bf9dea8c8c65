//! Messages with descriptors, between us and the programs that we start (unix(7), `SOCK_SEQPACKET`, `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

/// The longest message, in bytes: what the kernel takes without more memory being asked for.
pub const MESSAGE_BYTES_MAX: usize = 160 * 1024;

/// How many descriptors go with one message.
const DESCRIPTORS_MAX: usize = 4;

/// Two ends that keep messages apart. Both are closed on exec.
///
/// # Errors
/// What the kernel says.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends one message.
///
/// # Errors
/// What the kernel says: `EPIPE` if the other end is gone (and no signal), `EMSGSIZE` for what is too long.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Errno::EMSGSIZE.into());
    }
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights };
    loop {
        let raw = socket.as_fd().as_raw_fd();
        match sendmsg::<()>(raw, &[IoSlice::new(message)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a message; `None` if the other end is gone. The descriptors that come with it are closed on exec, so that no
/// program that is started meanwhile inherits one.
///
/// # Errors
/// What the kernel says.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let (length, descriptors) = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let raw = socket.as_fd().as_raw_fd();
        match recvmsg::<()>(raw, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(message) => {
                let mut descriptors = Vec::new();
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = control {
                        // SAFETY: the kernel has just made these descriptors for us, and nobody else knows of them.
                        descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
                    }
                }
                break (message.bytes, descriptors);
            }
        }
    };
    if length == 0 {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some((bytes, descriptors)))
}
