/// Where a decoder pulls its input from. Blocking, and read by one thread at a time; decoders are `ByteReader`s
/// themselves, so they stack: tar over gzip over whatever brings the bytes.
public protocol ByteReader: AnyObject {
    /// Fills the front of `buffer` and returns how many bytes that were; 0 is the end of the input, and stays so.
    /// A buffer must not be empty.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

/// Bytes that are in memory already.
public final class MemoryReader: ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - position)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + count])) }
        position += count
        return count
    }
}

/// Bytes that someone else keeps in memory for as long as this reader is used.
final class BorrowedReader: ByteReader {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        rest = bytes
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, rest.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        return count
    }
}

/// A block of input read ahead, so that a parser can take small pieces while the reader below sees large requests.
final class BufferedInput {
    /// Large enough that inflate, read(2) and friends run at full speed.
    static let blockSize = 256 << 10

    private let source: any ByteReader
    private let block: UnsafeMutableRawBufferPointer
    private var unread: Range<Int> = 0..<0
    private var ended = false
    /// Bytes taken so far.
    private(set) var position: UInt64 = 0

    init(_ source: any ByteReader) {
        self.source = source
        block = .allocate(byteCount: Self.blockSize, alignment: 64)
    }

    deinit { block.deallocate() }

    /// As `ByteReader.read`; a request as large as the block goes to the source without a copy.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        if unread.isEmpty, buffer.count >= block.count {
            let count = try pull(buffer)
            position &+= UInt64(count)
            return count
        }
        try fill()
        let count = min(buffer.count, unread.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[unread.prefix(count)]))
        take(count)
        return count
    }

    /// Reads until `buffer` is full or the input ends, and returns how much that was.
    func readAll(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Passes over `count` bytes, or as many as there are, and returns how many those were.
    func skip(_ count: UInt64) throws(ArchiveError) -> UInt64 {
        var left = count
        while left > 0 {
            try fill()
            if unread.isEmpty { break }
            let step = Int(min(left, UInt64(unread.count)))
            take(step)
            left -= UInt64(step)
        }
        return count - left
    }

    private func take(_ count: Int) {
        unread = unread.lowerBound + count..<unread.upperBound
        position &+= UInt64(count)
    }

    private func fill() throws(ArchiveError) {
        guard unread.isEmpty else { return }
        unread = 0..<(try pull(block))
    }

    private func pull(_ buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        guard !ended else { return 0 }
        let count = try ArchiveError.reading { try source.read(into: buffer) }
        precondition(count >= 0 && count <= buffer.count, "a ByteReader returned more than it was asked for")
        ended = count == 0
        return count
    }
}

enum Bytes {
    /// Reads `count` bytes into a new array that grows with what has really come: a claimed size costs nothing.
    static func read(exactly count: Int, from read: (UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int) throws(ArchiveError) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let done = bytes.count
            let step = min(count - done, max(1 << 20, done))
            bytes.append(contentsOf: repeatElement(0, count: step))
            var filled = done
            while filled < bytes.count {
                let position = filled
                let got = try ArchiveError.reading {
                    try bytes.withUnsafeMutableBytes { try read(UnsafeMutableRawBufferPointer(rebasing: $0[position...])) }
                }
                guard got > 0 else { throw ArchiveError(.truncated, "\(filled) bytes where \(count) were stated") }
                filled += got
            }
        }
        return bytes
    }
}
