/// Reads a tar stream member by member, in bounded memory whatever the input is.
///
/// Understands v7, ustar, GNU and PAX archives, sparse files in all four notations included. Where archives are odd it
/// does what Go's archive/tar does, because that is what umoci, Docker and containerd unpack layers with; above all:
/// global PAX headers are ignored, and members of kinds that have no data (links, devices, directories) have none even
/// where they state a size. Members of unknown kinds are passed over.
///
///     let tar = TarReader(source)
///     while let entry = try tar.next() { ... try tar.read(into: buffer) ... }
public final class TarReader {
    let limits: ArchiveLimits
    let input: BufferedInput
    private let block: UnsafeMutableRawBufferPointer
    /// Stored bytes of the current member that have not been read.
    public internal(set) var remaining: UInt64 = 0
    /// Zero bytes that follow the data up to the next block.
    private var padding: UInt64 = 0
    private var ended = false
    /// Of the current member, as far as it is known: errors name it.
    var path: [UInt8] = []

    /// What the current member's headers say beyond its entry, where `keepsHeaders` asks for it.
    public internal(set) var header: TarMemberHeader?
    public var keepsHeaders = false

    /// Number of the current member, from 1, metadata headers not counted.
    public private(set) var entryNumber = 0
    /// Offset in the tar stream of the current member's next unread data byte.
    public var position: UInt64 { input.position }

    public init(_ source: any ByteReader, limits: ArchiveLimits = ArchiveLimits()) {
        self.limits = limits
        input = BufferedInput(source)
        block = .allocate(byteCount: TarHeader.blockSize, alignment: 16)
    }

    deinit { block.deallocate() }

    /// The next member, or nil at the end of the archive: two zero blocks, or the end of the input between members.
    /// Data of the current member that was not read is skipped. After an error there is nothing more to read.
    public func next() throws(ArchiveError) -> ArchiveEntry? {
        guard !ended else { return nil }
        do throws(ArchiveError) {
            try passMember()
            entryNumber += 1
            path = []
            let entry = try nextMember()
            ended = entry == nil
            return entry
        } catch {
            throw fail(error)
        }
    }

    /// Reads stored data of the current member, for a sparse file the data runs one after the other; 0 at its end.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        guard remaining > 0, buffer.count > 0 else { return 0 }
        let wanted = Int(min(UInt64(buffer.count), remaining))
        let count: Int
        do throws(ArchiveError) {
            count = try input.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
        } catch {
            throw fail(error)
        }
        guard count > 0 else {
            throw fail(ArchiveError(.truncated, "the archive ends \(remaining) bytes before the end of the member"))
        }
        remaining -= UInt64(count)
        return count
    }

    /// Reads whatever follows the end of the archive, so that a digest taken below this reader covers the whole layer.
    /// Returns how many bytes those were.
    @discardableResult
    public func drain() throws(ArchiveError) -> UInt64 {
        ended = true
        remaining = 0
        return try input.skip(.max)
    }

    /// Ends the reading, and says which member it was.
    private func fail(_ error: ArchiveError) -> ArchiveError {
        ended = true
        remaining = 0
        return error.about(ArchiveError.label(entry: entryNumber, path))
    }

    private func nextMember() throws(ArchiveError) -> ArchiveEntry? {
        var extensions = TarExtensions()
        while let header = try nextHeader() {
            path = extensions.path ?? header.path
            switch header.type {
            case UInt8(ascii: "x"):
                let bytes = try metadata(of: header)
                extensions.pax = try PAXRecords(parsing: bytes)
                if keepsHeaders { extensions.records = try PAXRecords.list(parsing: bytes) }
            case UInt8(ascii: "g"):
                // Parsed to refuse what Go refuses. Go hands it out as a member, so extensions before it are spent.
                _ = try PAXRecords(parsing: metadata(of: header))
                extensions = TarExtensions()
            case UInt8(ascii: "L"):
                extensions.longPath = try Self.untilNUL(metadata(of: header))
            case UInt8(ascii: "K"):
                extensions.longLink = try Self.untilNUL(metadata(of: header))
            default:
                if let entry = try member(header, extensions) { return entry }
                extensions = TarExtensions()
            }
        }
        return nil
    }

    /// The next header that is not all zero; nil at the end of the archive.
    private func nextHeader() throws(ArchiveError) -> TarHeader? {
        try passMember()
        guard try readBlock() else { return nil }
        if TarHeader.isZero(UnsafeRawBufferPointer(block)) {
            guard try readBlock() else { return nil }
            guard TarHeader.isZero(UnsafeRawBufferPointer(block)) else {
                throw ArchiveError(.malformed, "one zero block stands alone in the archive")
            }
            return nil
        }
        guard let header = try TarHeader(UnsafeRawBufferPointer(block)) else {
            throw ArchiveError(.malformed, "there is no tar header at byte \(input.position - UInt64(TarHeader.blockSize))")
        }
        return header
    }

    /// Goes to the end of the current member. Its data must be there; its padding need not.
    private func passMember() throws(ArchiveError) {
        guard try input.skip(remaining) == remaining else { throw ArchiveError(.truncated, "the archive ends inside the member") }
        remaining = 0
        _ = try input.skip(padding)
        padding = 0
    }

    /// Makes the next `size` bytes the current member's data.
    func startData(_ size: UInt64) {
        remaining = size
        padding = (512 &- size % 512) % 512
    }

    /// Fills the block; false where the input ends right here.
    private func readBlock() throws(ArchiveError) -> Bool {
        let count = try input.readAll(into: block)
        guard count == 0 || count == block.count else { throw ArchiveError(.truncated, "the archive ends inside a header block") }
        return count > 0
    }

    /// Fills the block with one that has to be there, for the length of `body`.
    func withNextBlock<Value>(_ body: (UnsafeRawBufferPointer) throws(ArchiveError) -> Value) throws(ArchiveError) -> Value {
        guard try readBlock() else { throw ArchiveError(.truncated, "the archive ends inside a header") }
        return try body(UnsafeRawBufferPointer(block))
    }

    /// The block that the last header was read from.
    var headerBlock: UnsafeRawBufferPointer { UnsafeRawBufferPointer(block) }

    /// The whole data of a member that describes the next one.
    private func metadata(of header: TarHeader) throws(ArchiveError) -> [UInt8] {
        guard header.size >= 0 else { throw ArchiveError(.malformed, "the size is negative") }
        guard header.size <= limits.headerLength else {
            throw ArchiveError(.limitExceeded, "an extension header of \(header.size) bytes is over the limit of \(limits.headerLength)")
        }
        startData(UInt64(header.size))
        var bytes = [UInt8](repeating: 0, count: Int(header.size))
        let count = try ArchiveError.reading { try bytes.withUnsafeMutableBytes { try input.readAll(into: $0) } }
        guard count == bytes.count else { throw ArchiveError(.truncated, "the archive ends inside an extension header") }
        remaining = 0
        return bytes
    }

    private static func untilNUL(_ bytes: [UInt8]) -> [UInt8]? {
        let text = Array(bytes.prefix { $0 != 0 })
        return text.isEmpty ? nil : text
    }
}
