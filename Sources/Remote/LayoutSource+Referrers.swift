import FoundationEssentials
import Glibc
import LinuxIO
import OCI

/// Manifests that refer to others, in a layout on disk: entries of `index.json` whose document has a `subject`.
extension LayoutSource {
    func referrers(of subject: Digest, kinds: Set<String>, retries: Int) async throws(RemoteError) -> [Descriptor] {
        let what = "referrers of \(repository)@\(subject)"
        return try await blocking(what) { () throws(RemoteError) in
            let layout = try open(what).layout
            return try index(of: layout, what).manifests.prefix(ReferrersList.limit).compactMap { entry in
                guard MediaType.isManifest(entry.mediaType), entry.artifactType.map({ kinds.contains($0) }) ?? true,
                    let bytes = try? Self.bytes(of: entry, in: layout, what),
                    case .manifest(let manifest)? = try? ManifestDocument(decoding: bytes, mediaType: entry.mediaType),
                    manifest.subject?.digest == subject, kinds.contains(manifest.kind)
                else { return nil }
                return Descriptor(mediaType: entry.mediaType, digest: entry.digest, size: entry.size, annotations: manifest.annotations, artifactType: manifest.kind)
            }
        }
    }

    func push(blob bytes: [UInt8]) async throws(RemoteError) -> Bool {
        let digest = Digest(of: bytes)
        let what = "blob \(digest) for \(repository)"
        return try await blocking(what) { () throws(RemoteError) in try Self.write(bytes, digest, into: try open(what).layout, what) }
    }

    func push(manifest: ImageManifest) async throws(RemoteError) -> Descriptor {
        let what = "manifest for \(repository)"
        guard let bytes = try? manifest.encoded(), bytes.count <= ManifestDocument.sizeLimit else {
            throw RemoteError(.tooLarge, what, "a manifest has at most \(ManifestDocument.sizeLimit) bytes")
        }
        let descriptor = Descriptor(
            mediaType: MediaType.manifest, digest: Digest(of: bytes), size: UInt64(bytes.count), annotations: manifest.annotations, artifactType: manifest.kind)
        try await blocking(what) { () throws(RemoteError) in
            let layout = try open(what).layout
            try Self.write(bytes, descriptor.digest, into: layout, what)
            try Self.changeIndex(of: layout, what) { list in list.add(descriptor) }
        }
        return descriptor
    }

    func delete(referrer: Digest, of subject: Digest) async throws(RemoteError) {
        let what = "manifest \(repository)@\(referrer)"
        // Its blobs stay: other manifests may have them, too, which is for a garbage collector to find out.
        try await blocking(what) { () throws(RemoteError) in
            try Self.changeIndex(of: try open(what).layout, what) { list in list.remove(referrer) }
        }
    }
}

extension LayoutSource {
    @discardableResult
    private static func write(_ bytes: [UInt8], _ digest: Digest, into layout: Directory, _ what: String) throws(RemoteError) -> Bool {
        try translating(what) { () throws(SystemError) in
            let name = "blobs/sha256/\(digest.hex)"
            if let known = try layout.statusIfPresent(name), known.st_size == bytes.count { return false }
            try layout.makeDirectories("blobs/sha256")
            let temporary = temporaryName
            do throws(SystemError) {
                try layout.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644).write(bytes)
                try layout.replace(name, by: temporary)
            } catch {
                _ = try? layout.remove(temporary)
                throw error
            }
            return true
        }
    }

    /// Changes `index.json` while no other Larder does. What other tools wrote into it stays as it is.
    private static func changeIndex(of layout: Directory, _ what: String, _ change: (inout ReferrersList) -> Bool) throws(RemoteError) {
        let lock = try translating(what) { () throws(SystemError) in try FileLock(waitingFor: "oci-layout", in: layout, .exclusive) }
        defer { _ = lock }
        let bytes = try translating(what) { () throws(SystemError) in
            try layout.open("index.json", O_RDONLY | O_NONBLOCK).readAll(limit: ManifestDocument.sizeLimit)
        }
        guard let bytes, var list = ReferrersList(decoding: bytes) else { throw RemoteError(.wrongBytes, what, "\(layout.path)/index.json is no image index; it is left alone") }
        guard change(&list) else { return }
        guard let changed = list.encoded, changed.count <= ManifestDocument.sizeLimit else { throw RemoteError(.tooLarge, what, "\(layout.path)/index.json is full") }
        try translating(what) { () throws(SystemError) in
            let temporary = temporaryName
            do throws(SystemError) {
                try layout.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644).write(changed)
                try layout.replace("index.json", by: temporary)
            } catch {
                _ = try? layout.remove(temporary)
                throw error
            }
        }
    }

    private static var temporaryName: String { ".larder-\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 36))" }
}
