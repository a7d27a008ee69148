//! A mapped file that another program shortens.

/// Makes a mapped file that shrinks while it is read end the process with a line on standard error and exit
/// code 1, instead of a crash. For programs, not for libraries: it sets the process's handler for `SIGBUS`.
///
/// Big ranges are copied by the system, which tells of the change; what is left are the small
/// messages that are decoded from the map, where the system has no other way to tell.
pub fn install_sigbus_handler() {
    #[cfg(unix)]
    // SAFETY: `sigaction` is zeroed and filled as the system wants it, and the handler calls only functions
    // that are safe in a signal handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

#[cfg(unix)]
extern "C" fn on_sigbus(_: libc::c_int) {
    const TEXT: &[u8] =
        b"error: a file became shorter while it was read: another program changed it; run again\n";
    // SAFETY: `write` and `_exit` are safe in a signal handler; the text is static.
    unsafe {
        libc::write(2, TEXT.as_ptr().cast(), TEXT.len());
        libc::_exit(1);
    }
}
