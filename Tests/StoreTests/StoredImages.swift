import Archive
import Glibc
import LinuxIO
import OCI
import Store
import Testing
import TreeIndex

/// Images as a pull leaves them: documents, blobs, indexes, spans, with content that tells where it belongs.
struct TestLayer {
    let name: String
    let spans: Int
    let spanBytes: Int
    /// Whether single spans could be fetched again.
    var servesSpans = true

    var blob: [UInt8] { Array("the blob of \(name) ".utf8) + [UInt8](repeating: 7, count: 50_000) }
    var digest: Digest { Digest(of: blob) }
    var contentKey: Digest { Digest(ofText: "content of \(name)") }

    func content(_ number: Int) -> [UInt8] {
        Array("span \(number) of \(name) ".utf8) + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: spanBytes - 30 - name.utf8.count)
    }

    var logicalBytes: Int { (0..<spans).reduce(0) { $0 + content($1).count } }

    func publishSpan(_ number: Int, in store: Store) throws {
        _ = try content(number).withUnsafeBytes { try store.publishSpan($0, contentKey, UInt32(number)) }
    }

    /// - Parameter sealed: the index has the layer's digest as a second name.
    func publish(in store: Store, blob: Bool = true, spans: Bool = true, sealed: Bool = true) throws {
        if blob { try store.putBlob(self.blob) }
        var builder = TreeBuilder()
        var start: UInt64 = 0
        for number in 0..<self.spans {
            let content = content(number)
            let entry = ArchiveEntry(path: Array("file-\(number)".utf8), kind: .regular, size: UInt64(content.count), modified: Timestamp(seconds: 1))
            let ordinal = try #require(try builder.add(entry))
            try builder.setContent(ordinal, at: start)
            try builder.append(
                ContentSpan(contentStart: start, length: UInt64(content.count), sourceOffset: start, sourceLength: UInt64(content.count), digest: Digest(of: content)))
            start += UInt64(content.count)
        }
        let identity = LayerIdentity(
            contentKey: contentKey, blobDigest: digest, diffID: sealed ? Digest(ofText: "tar of \(name)") : nil, format: servesSpans ? .tar : .zstd,
            blobSize: max(start, UInt64(self.blob.count)))
        let document = try builder.finish(identity)
        try store.publishTree(document, contentKey)
        let directory = try Directory(store.path)
        if sealed { try directory.link(StoreKey.tree(contentKey).path, to: StoreKey.tree(digest).path) }
        if spans { for number in 0..<self.spans { try publishSpan(number, in: store) } }
    }
}

struct TestImage {
    let reference: Reference
    let layers: [TestLayer]

    init(_ name: String, _ layers: [TestLayer]) throws {
        reference = try #require(Reference("host.example/\(name):1"))
        self.layers = layers
    }

    var config: [UInt8] { Array(#"{"os":"linux","architecture":"amd64","comment":"\#(reference)","rootfs":{"type":"layers","diff_ids":[]}}"#.utf8) }

    var manifest: [UInt8] {
        func descriptor(_ type: String, _ bytes: [UInt8]) -> String { #"{"mediaType":"\#(type)","digest":"\#(Digest(of: bytes))","size":\#(bytes.count)}"# }
        let layers = layers.map { descriptor("application/vnd.oci.image.layer.v1.tar", $0.blob) }.joined(separator: ",")
        return Array(
            #"{"schemaVersion":2,"mediaType":"\#(MediaType.manifest)","config":\#(descriptor("application/vnd.oci.image.config.v1+json", config)),"layers":[\#(layers)]}"#.utf8)
    }

    var documents: [Digest] { [Digest(of: manifest), Digest(of: config)] }

    func publish(in store: Store, blobs: Bool = true, spans: Bool = true) throws {
        try store.setReference(reference, Descriptor(mediaType: MediaType.manifest, digest: Digest(of: manifest), size: UInt64(manifest.count)))
        try store.putBlob(config)
        try store.putBlob(manifest)
        for layer in layers where !store.hasTree(layer.contentKey) { try layer.publish(in: store, blob: blobs, spans: spans) }
    }
}

extension ScratchStore {
    /// Sets the time of last use: `age` seconds ago.
    func setUse(_ key: StoreKey, age: Int) throws {
        let then = timespec(tv_sec: time(nil) - age, tv_nsec: 0)
        try withUnsafePointer(to: (then, then)) { pair in
            try pair.withMemoryRebound(to: timespec.self, capacity: 2) { times in
                guard utimensat(AT_FDCWD, path + "/" + key.path, times, 0) == 0 else { throw SystemError("utimensat", path: key.path) }
            }
        }
    }

    /// Makes everything old enough that only `setUse` tells one from the other.
    func ageEverything(by age: Int, in contents: StoreContents) throws {
        for file in Array(contents.blobs.values) + Array(contents.objects.values) + contents.spans.values.joined() { try setUse(file.key, age: age) }
        for tree in contents.trees { try setUse(.tree(tree.names[0]), age: age) }
    }
}
