/// How a layer's tar stream is wrapped, told from its first bytes: media types lie.
public enum Compression: Sendable, Equatable, CaseIterable {
    case none, gzip, zstd

    /// Bytes that `detect` wants to see; fewer are fine where the input is shorter.
    public static let prefixLength = 4

    /// gzip by RFC 1952, zstd (also one that begins with a skippable frame) by RFC 8878, anything else is plain tar.
    public static func detect(_ prefix: some Collection<UInt8>) -> Compression {
        let bytes = Array(prefix.prefix(prefixLength))
        if bytes.count >= 2, bytes[0] == 0x1F, bytes[1] == 0x8B { return .gzip }
        guard bytes.count == 4 else { return .none }
        if bytes == [0x28, 0xB5, 0x2F, 0xFD] { return .zstd }
        if bytes[0] & 0xF0 == 0x50, bytes[1...] == [0x2A, 0x4D, 0x18] { return .zstd }
        return .none
    }

    /// A reader of the uncompressed bytes of `source`.
    public func reader(over source: any ByteReader) throws(ArchiveError) -> any ByteReader {
        switch self {
        case .none: source
        case .gzip: try GzipReader(source)
        case .zstd: try ZstdReader(source)
        }
    }

    func reader(over source: any ByteReader, _ recorder: CheckpointRecorder) throws(ArchiveError) -> any ByteReader {
        switch self {
        case .none: PlainReader(source, recorder)
        case .gzip: try GzipReader(source, recorder)
        case .zstd: try ZstdReader(source, recorder)
        }
    }
}

/// The uncompressed bytes of a layer whose compression nobody needs to know beforehand.
public final class LayerReader: ByteReader {
    public let compression: Compression
    private let decoder: any ByteReader

    public convenience init(_ source: any ByteReader) throws(ArchiveError) {
        try self.init(source, recorder: nil)
    }

    /// Also hands out the places from which decompressing can start, while it reads. The first lies at 0, every further one at
    /// least `spacing` bytes of output after the one before; in gzip that is at the next block, in zstd at the next frame (so
    /// perhaps never), in plain tar at once. The windows of gzip are packed, for which up to 64 KiB of the source are read ahead.
    ///
    /// `record` is called inside `read`, before that call has produced anything: a checkpoint lies exactly at the end of all
    /// that earlier calls have returned, so whoever copies what passes can cut there. One may lie at the very end.
    public convenience init(_ source: any ByteReader, cutsEvery spacing: UInt64, record: @escaping (Checkpoint) -> Void) throws(ArchiveError) {
        try self.init(source, recorder: CheckpointRecorder(spacing: spacing, record: record))
    }

    private init(_ source: any ByteReader, recorder: CheckpointRecorder?) throws(ArchiveError) {
        let input = BufferedInput(source)
        var prefix: [UInt8] = [0, 0, 0, 0]
        let count = try ArchiveError.reading { try prefix.withUnsafeMutableBytes { try input.readAll(into: $0) } }
        compression = Compression.detect(prefix.prefix(count))
        let whole = PrefixedReader(Array(prefix.prefix(count)), input)
        decoder = if let recorder { try compression.reader(over: whole, recorder) } else { try compression.reader(over: whole) }
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        try ArchiveError.reading { try decoder.read(into: buffer) }
    }
}

/// Bytes as they are, with checkpoints.
private final class PlainReader: ByteReader {
    private let source: any ByteReader
    private var recorder: CheckpointRecorder
    private var produced: UInt64 = 0

    init(_ source: any ByteReader, _ recorder: CheckpointRecorder) {
        self.source = source
        self.recorder = recorder
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        if recorder.due(after: produced) == 0 {
            recorder.hand(Checkpoint(compressedOffset: produced, uncompressedOffset: produced, startsMember: true))
        }
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, Int(clamping: recorder.due(after: produced)))])
        let count = try ArchiveError.reading { try source.read(into: room) }
        produced &+= UInt64(count)
        return count
    }
}

/// Gives back bytes that were read to look at them, then the rest.
private final class PrefixedReader: ByteReader {
    private var prefix: [UInt8]
    private let rest: BufferedInput

    init(_ prefix: [UInt8], _ rest: BufferedInput) {
        self.prefix = prefix
        self.rest = rest
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        guard !prefix.isEmpty else { return try rest.read(into: buffer) }
        let count = min(buffer.count, prefix.count)
        prefix.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        prefix.removeFirst(count)
        return count
    }
}
