import NIOCore

/// The bytes of a blob as they arrive, in order. Can be read once; letting go of it closes the connection.
public struct BlobStream: AsyncSequence, Sendable {
    public typealias Element = ByteBuffer
    public typealias Failure = RemoteError

    private let read: @Sendable () async throws(RemoteError) -> ByteBuffer?

    /// - Parameter read: gives the next bytes, nil at the end. Calls never overlap.
    public init(_ read: @escaping @Sendable () async throws(RemoteError) -> ByteBuffer?) { self.read = read }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(read: read) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let read: @Sendable () async throws(RemoteError) -> ByteBuffer?

        public mutating func next() async throws(RemoteError) -> ByteBuffer? { try await read() }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(RemoteError) -> ByteBuffer? { try await read() }
    }

    /// Everything in one piece.
    /// - Throws: `RemoteError.Kind.tooLarge` beyond `limit` bytes, and whatever the stream throws.
    public func collect(limit: Int, subject: String) async throws(RemoteError) -> [UInt8] {
        var bytes: [UInt8] = []
        while let part = try await read() {
            guard part.readableBytes <= limit - bytes.count else { throw RemoteError(.tooLarge, subject, "more than \(limit) bytes") }
            bytes.append(contentsOf: part.readableBytesView)
        }
        return bytes
    }
}
