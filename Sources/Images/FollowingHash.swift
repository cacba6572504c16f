import LinuxIO
import OCI

/// Hashes a file behind the head of what arrives in it, on a thread of its own: hashing a gigabyte takes a second, and the
/// bytes do not come in order.
final class FollowingHash: Sendable {
    private struct State: Sendable {
        var head: UInt64 = 0
        /// Where to end.
        var target: UInt64?
        var isAbandoned = false
    }

    private struct Answer: Sendable {
        var result: Result<Digest, any Error>?
        var continuation: CheckedContinuation<Digest, any Error>?
    }

    private let monitor = Monitor(State())
    private let answer = Monitor(Answer())

    /// - Parameter read: fills a buffer from an offset of the file; everything before the head is there.
    init(_ read: @escaping @Sendable (UnsafeMutableRawBufferPointer, UInt64) throws -> Int) throws {
        try DedicatedThread.start("larder-hash") { [monitor, answer] in
            let result = Result { try Self.hash(monitor, read) }
            let waiting = answer.update { answer in
                answer.result = result
                return answer.continuation
            }
            waiting?.resume(with: result)
        }
    }

    func advance(to head: UInt64) { monitor.update { $0.head = max($0.head, head) } }
    func abandon() { monitor.update { $0.isAbandoned = true } }

    /// The hash of the first `size` bytes.
    func finish(at size: UInt64) async throws -> Digest {
        monitor.update { state in
            state.head = max(state.head, size)
            state.target = size
        }
        return try await withCheckedThrowingContinuation { continuation in
            let result = answer.update { answer in
                answer.continuation = continuation
                return answer.result
            }
            if let result { continuation.resume(with: result) }
        }
    }

    private static func hash(_ monitor: Monitor<State>, _ read: (UnsafeMutableRawBufferPointer, UInt64) throws -> Int) throws -> Digest {
        var hasher = DigestHasher()
        var position: UInt64 = 0
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { block.deallocate() }
        while true {
            let state = monitor.wait { state in state.isAbandoned || state.head > position || state.target.map { $0 <= position } == true ? state : nil }
            if state.isAbandoned { throw CancellationError() }
            guard position < state.head else { return hasher.finish() }
            let wanted = Int(min(UInt64(block.count), state.head - position))
            let count = try read(UnsafeMutableRawBufferPointer(rebasing: block[..<wanted]), position)
            guard count == wanted else { throw SystemError("read", code: 5) }
            hasher.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
            position += UInt64(count)
        }
    }
}
