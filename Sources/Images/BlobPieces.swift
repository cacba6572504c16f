import NIOCore
import OCI
import Remote
import Synchronization

/// A blob in pieces that come side by side: one connection seldom fills a link, because its window opens slowly and every
/// loss closes it.
final class BlobPieces: Sendable {
    /// Smaller blobs are there before a second connection is.
    static let worthwhile: UInt64 = 8 << 20
    static let pieceSize: UInt64 = 4 << 20
    /// Pieces under way at once.
    static let width = 4

    private struct State {
        /// Bytes that came of each piece.
        var received: [UInt64]
        /// The first piece that is not whole.
        var first = 0
        var next = 0
        var isOver = false
    }

    private let descriptor: Descriptor
    private let source: any BlobSource
    private let link: Link
    private let cause: FetchCause
    private let write: @Sendable (UnsafeRawBufferPointer, UInt64) throws -> Void
    private let state: Mutex<State>
    private let count: Int

    init(
        _ descriptor: Descriptor, _ source: any BlobSource, _ link: Link, _ cause: FetchCause,
        write: @escaping @Sendable (UnsafeRawBufferPointer, _ offset: UInt64) throws -> Void
    ) {
        self.descriptor = descriptor
        self.source = source
        self.link = link
        self.cause = cause
        self.write = write
        count = Int((descriptor.size + Self.pieceSize - 1) / Self.pieceSize)
        state = Mutex(State(received: Array(repeating: 0, count: count)))
    }

    /// Brings all pieces. `progress` is told how much is there from the blob's start on, ascending; in the end the caller is: less
    /// than the blob where the source turned out to serve no ranges.
    func run(_ progress: @escaping @Sendable (UInt64) -> Void) async throws -> UInt64 {
        let told = Mutex<UInt64>(0)
        let moved: @Sendable () -> Void = {
            // Under the lock, or a later figure could be told before an earlier one.
            told.withLock { told in
                let head = self.head
                guard head > told else { return }
                told = head
                progress(head)
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<min(Self.width, count) {
                group.addTask {
                    while let number = self.nextPiece() { try await self.bring(number, moved) }
                }
            }
            try await group.waitForAll()
        }
        return head
    }

    /// What is there from the start on, in bytes.
    private var head: UInt64 {
        state.withLock { state in
            while state.first < count, state.received[state.first] == length(state.first) { state.first += 1 }
            return state.first < count ? UInt64(state.first) * Self.pieceSize + state.received[state.first] : descriptor.size
        }
    }

    private func length(_ number: Int) -> UInt64 { min(descriptor.size - UInt64(number) * Self.pieceSize, Self.pieceSize) }

    private func nextPiece() -> Int? {
        state.withLock { state in
            guard !state.isOver, state.next < count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    private func bring(_ number: Int, _ moved: () -> Void) async throws {
        let place = try await link.gate.permits([1], for: cause)
        defer { withExtendedLifetime(place) {} }
        guard !state.withLock({ $0.isOver }) else { return }
        var offset = UInt64(number) * Self.pieceSize
        let asked = ContinuousClock.now
        let stream = try await source.blob(descriptor, range: offset..<offset + length(number))
        guard source.servesRanges else {
            // The whole blob is on its way for each piece. One is enough.
            state.withLock { $0.isOver = true }
            return
        }
        link.began(after: .now - asked)
        defer { link.ended() }
        for try await part in stream {
            let bytes = part.readableBytes
            try part.withUnsafeReadableBytes { try write($0, offset) }
            link.received(bytes)
            offset += UInt64(bytes)
            state.withLock { $0.received[number] += UInt64(bytes) }
            moved()
            if state.withLock({ $0.isOver }) { return }
        }
    }
}
