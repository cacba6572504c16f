import OCI
import Synchronization

/// The layers that are being streamed now, by blob digest, and a way to wait for one to appear.
final class StreamTable: Sendable {
    private let streams = Mutex<[Digest: LayerStream]>([:])
    private let arrivals = Progress()

    subscript(_ digest: Digest) -> LayerStream? { streams.withLock { $0[digest] } }

    func insert(_ stream: LayerStream) {
        streams.withLock { $0[stream.layer.descriptor.digest] = stream }
        arrivals.advance()
    }

    /// Takes away this stream, and not another that has begun since.
    func remove(_ stream: LayerStream) {
        streams.withLock { streams in
            if streams[stream.layer.descriptor.digest] === stream { streams[stream.layer.descriptor.digest] = nil }
        }
    }

    /// Waits until the layer is being streamed.
    func next(_ digest: Digest) async throws -> LayerStream {
        while true {
            let seen = arrivals.count
            if let stream = self[digest] { return stream }
            _ = try await arrivals.next(after: seen)
        }
    }

    /// Ends every stream with a cancellation.
    func cancelAll() {
        for stream in streams.withLock({ Array($0.values) }) { stream.cancel() }
    }
}
