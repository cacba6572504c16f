import CFuse
import Glibc
import VirtualFS

/// One request of the kernel, to be answered exactly once.
///
/// The compiler holds us to that: the type cannot be copied and every reply consumes it. A request that is dropped
/// without an answer would leave a process hanging for ever, so dropping one answers EIO.
struct FuseRequest: ~Copyable, @unchecked Sendable {
    private let raw: fuse_req_t

    /// libfuse calls no operation without a request.
    init(_ raw: fuse_req_t?) { self.raw = raw.unsafelyUnwrapped }

    init(_ moved: MovedRequest) { raw = moved.raw }

    deinit { fuse_reply_err(raw, EIO) }

    /// Valid as long as the session, which outlives every request.
    var connection: FuseConnection.Pointer { FuseConnection.of(raw) }

    /// Who asks. Valid as long as the request.
    var context: UnsafePointer<fuse_ctx> { fuse_req_ctx(raw).unsafelyUnwrapped }

    /// The libfuse handle, to be answered with a `fuse_reply_` call by the caller.
    consuming func take() -> fuse_req_t {
        let raw = raw
        discard self
        return raw
    }

    /// Hands the request to a closure, which cannot hold a noncopyable value.
    consuming func move() -> MovedRequest { MovedRequest(raw: take()) }
}

/// A request on its way to the cold side. Whoever receives it makes it a `FuseRequest` again, once.
struct MovedRequest: @unchecked Sendable {
    fileprivate(set) var raw: fuse_req_t
}
