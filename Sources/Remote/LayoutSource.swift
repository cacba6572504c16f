import Glibc
import LinuxIO
import NIOCore
import NIOPosix
import OCI
import Synchronization

/// One repository of a host that is really a directory with OCI image layouts (image-spec image-layout.md).
///
/// With the host NAME configured as DIR, `NAME/REPO:TAG` is the manifest with the ref.name `TAG` in the layout `DIR/REPO`; or,
/// where DIR itself is the layout, the one whose ref.name is `REPO:TAG` or the whole reference, or `TAG` if only one is.
struct LayoutSource: BlobSource {
    let repository: Repository
    /// What the user configured for the host.
    let path: String

    private static let refName = "org.opencontainers.image.ref.name"
    private static let partSize = 256 << 10

    var name: String { "\(repository) (OCI layout \(path))" }
    var servesRanges: Bool { true }

    func resolve(_ selector: Reference.Selector) async throws(RemoteError) -> FetchedManifest {
        let reference = Reference(repository, selector)
        let subject = "manifest \(reference)"
        return try await blocking(subject) { () throws(RemoteError) in
            let (layout, isOwn) = try open(subject)
            let entries = try index(of: layout, subject).manifests
            var entry: Descriptor?
            switch selector {
            case .tag(let tag):
                entry = Self.entry(in: entries, tag: tag, reference: reference, isOwn: isOwn)
            case .digest(let digest):
                entry = entries.first { $0.digest == digest }
                if entry == nil { entry = try Self.describe(digest, in: layout, subject) }
            }
            guard let entry else { throw RemoteError(.notFound, subject, "\(layout.path)/index.json has no such ref.name") }
            return FetchedManifest(descriptor: entry, bytes: try Self.bytes(of: entry, in: layout, subject))
        }
    }

    func manifest(_ descriptor: Descriptor) async throws(RemoteError) -> [UInt8] {
        let subject = "manifest \(repository)@\(descriptor.digest)"
        return try await blocking(subject) { () throws(RemoteError) in try Self.bytes(of: descriptor, in: try open(subject).layout, subject) }
    }

    func blob(_ descriptor: Descriptor, range: Range<UInt64>?) async throws(RemoteError) -> BlobStream {
        let subject = "blob \(descriptor.digest) of \(repository)"
        let wanted = range ?? 0..<descriptor.size
        guard wanted.upperBound <= descriptor.size else {
            throw RemoteError(.configuration, subject, "bytes up to \(wanted.upperBound) were asked for; it has \(descriptor.size)")
        }
        let file = try await blocking(subject) { () throws(RemoteError) in
            let file = try Self.open(descriptor.digest, in: try open(subject).layout, subject)
            let size = try Self.translating(subject) { () throws(SystemError) in try file.size() }
            guard size == descriptor.size else { throw RemoteError(.wrongBytes, subject, "the file has \(size) bytes, by its descriptor it has \(descriptor.size)") }
            return LayoutFile(file, range: wanted)
        }
        return BlobStream { () async throws(RemoteError) in
            try await blocking(subject) { () throws(RemoteError) in
                try Self.translating(subject) { () throws(SystemError) in try file.next(limit: Self.partSize) }
            }
        }
    }
}

extension LayoutSource {
    /// The layout that holds the repository, and whether it is the repository's own.
    func open(_ subject: String) throws(RemoteError) -> (layout: Directory, isOwn: Bool) {
        try Self.translating(subject) { () throws(SystemError) in
            let top = try Directory(path)
            if let own = try Self.layout(repository.path, in: top) { return (own, true) }
            guard try top.openIfPresent("oci-layout") != nil else {
                throw SystemError("open", path: "\(path)/\(repository.path)/oci-layout", code: ENOENT)
            }
            return (top, false)
        }
    }

    private static func layout(_ name: String, in top: Directory) throws(SystemError) -> Directory? {
        do throws(SystemError) {
            guard let directory = try top.directoryIfPresent(name), try directory.openIfPresent("oci-layout") != nil else { return nil }
            return directory
        } catch {
            if error.code == ENOTDIR { return nil }
            throw error
        }
    }

    func index(of layout: Directory, _ subject: String) throws(RemoteError) -> ImageIndex {
        let bytes = try Self.translating(subject) { () throws(SystemError) in
            try layout.open("index.json", O_RDONLY | O_NONBLOCK).readAll(limit: ManifestDocument.sizeLimit)
        }
        guard let bytes else { throw RemoteError(.tooLarge, subject, "\(layout.path)/index.json has more than \(ManifestDocument.sizeLimit) bytes") }
        do {
            guard case .index(let index) = try ManifestDocument(decoding: bytes, mediaType: MediaType.index) else {
                throw ManifestError.invalid("a manifest where an index belongs")
            }
            return index
        } catch {
            throw RemoteError(.wrongBytes, subject, "\(layout.path)/index.json: \(error)")
        }
    }

    static func entry(in entries: [Descriptor], tag: String, reference: Reference, isOwn: Bool) -> Descriptor? {
        func named(_ name: String) -> [Descriptor] { entries.filter { $0.annotations?[refName] == name } }
        if isOwn { return named(tag).first }
        if let entry = named("\(reference.repository.path):\(tag)").first ?? named(reference.description).first { return entry }
        let candidates = named(tag)
        return Set(candidates.map(\.digest)).count == 1 ? candidates.first : nil
    }

    /// A descriptor for a manifest that only its digest names: the document itself says what it is.
    private static func describe(_ digest: Digest, in layout: Directory, _ subject: String) throws(RemoteError) -> Descriptor {
        let bytes = try read(digest, in: layout, subject)
        let type: String
        do {
            switch try ManifestDocument(decoding: bytes, mediaType: nil) {
            case .manifest: type = MediaType.manifest
            case .index: type = MediaType.index
            }
        } catch {
            throw RemoteError(.wrongBytes, subject, "\(error)")
        }
        return Descriptor(mediaType: type, digest: digest, size: UInt64(bytes.count))
    }

    static func bytes(of descriptor: Descriptor, in layout: Directory, _ subject: String) throws(RemoteError) -> [UInt8] {
        let bytes = try read(descriptor.digest, in: layout, subject)
        guard UInt64(bytes.count) == descriptor.size else {
            throw RemoteError(.wrongBytes, subject, "the file has \(bytes.count) bytes, by its descriptor it has \(descriptor.size)")
        }
        let found = Digest(of: bytes)
        guard found == descriptor.digest else { throw RemoteError(.wrongBytes, subject, "the file's digest is \(found)") }
        return bytes
    }

    private static func read(_ digest: Digest, in layout: Directory, _ subject: String) throws(RemoteError) -> [UInt8] {
        let file = try open(digest, in: layout, subject)
        guard let bytes = try translating(subject, { () throws(SystemError) in try file.readAll(limit: ManifestDocument.sizeLimit) }) else {
            throw RemoteError(.tooLarge, subject, "more than \(ManifestDocument.sizeLimit) bytes")
        }
        return bytes
    }

    private static func open(_ digest: Digest, in layout: Directory, _ subject: String) throws(RemoteError) -> OwnedDescriptor {
        try translating(subject) { () throws(SystemError) in try layout.open("blobs/sha256/\(digest.hex)", O_RDONLY | O_NONBLOCK) }
    }

    static func translating<Value: ~Copyable>(_ subject: String, _ body: () throws(SystemError) -> Value) throws(RemoteError) -> Value {
        do throws(SystemError) {
            return try body()
        } catch {
            throw RemoteError(error.isAbsence ? .notFound : error.code == EACCES ? .denied : .unreachable, subject, "\(error)")
        }
    }

    /// Runs `body` on a thread that may wait for a disk.
    func blocking<Value: Sendable>(_ subject: String, _ body: @escaping @Sendable () throws(RemoteError) -> Value) async throws(RemoteError) -> Value {
        do {
            return try await NIOThreadPool.singleton.runIfActive(body)
        } catch let error as RemoteError {
            throw error
        } catch {
            throw RemoteError(.cancelled, subject, "cancelled")
        }
    }
}

/// An open blob and how far it has been read.
private final class LayoutFile: Sendable {
    private let file: OwnedDescriptor
    private let position: Atomic<UInt64>
    private let end: UInt64

    init(_ file: consuming OwnedDescriptor, range: Range<UInt64>) {
        self.file = file
        position = Atomic(range.lowerBound)
        end = range.upperBound
    }

    /// The next at most `limit` bytes; nil at the end.
    func next(limit: Int) throws(SystemError) -> ByteBuffer? {
        let start = position.load(ordering: .relaxed)
        guard start < end else { return nil }
        var failure: SystemError?
        var buffer = ByteBuffer()
        let wanted = Int(min(end - start, UInt64(limit)))
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { space in
            do throws(SystemError) {
                return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: space[..<wanted]), at: start)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        // The size was right when it was opened: someone has cut the file since.
        guard buffer.readableBytes > 0 else { throw SystemError("read", code: EIO) }
        position.store(start + UInt64(buffer.readableBytes), ordering: .relaxed)
        return buffer
    }
}
