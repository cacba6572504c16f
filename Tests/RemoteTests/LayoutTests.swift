import Glibc
import OCI
import Remote
import TestSupport
import Testing

struct LayoutTests {
    private func image(in layout: OCILayout, _ text: String) throws -> (manifest: Descriptor, config: Descriptor, layers: [Descriptor]) {
        try layout.add(image: [Array(text.utf8)])
    }

    private func configured(_ path: String) -> RemoteConfiguration { quietConfiguration { $0.hosts["local", default: .init()].layout = path } }

    private func resolved(_ remote: Remote, _ text: String) async throws -> Digest {
        let reference = try #require(Reference(text))
        return try await remote.source(for: reference.repository).resolve(reference.selector).descriptor.digest
    }

    @Test func aFolderIsARepository() async throws {
        let files = try TemporaryDirectory()
        let own = try OCILayout(in: files, "team/app")
        let image = try image(in: own, "a")
        try own.tag(image.manifest, "1")
        let top = try OCILayout(in: files)
        let other = try self.image(in: top, "b")
        try top.tag(other.manifest, "1")
        try await withRemote(configured(files.path)) { remote in
            let own = try await resolved(remote, "local/team/app:1")
            #expect(own == image.manifest.digest)
            // Any other repository is served by the layout at the top.
            let rest = try await resolved(remote, "local/anything:1")
            #expect(rest == other.manifest.digest)
            #expect(await kind { _ = try await resolved(remote, "local/team/app:2") } == .notFound)
            #expect(await kind { _ = try await resolved(remote, "local/team:2") } == .notFound)
        }
    }

    @Test func namesInOneLayoutAreMostSpecificFirst() async throws {
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files)
        let short = try image(in: layout, "short").manifest
        let named = try image(in: layout, "named").manifest
        let full = try image(in: layout, "full").manifest
        try layout.tag(short, "1")
        try layout.tag(named, "app:1")
        try layout.tag(full, "local/web:1")
        try await withRemote(configured(files.path)) { remote in
            #expect(try await resolved(remote, "local/app:1") == named.digest)
            #expect(try await resolved(remote, "local/web:1") == full.digest)
            #expect(try await resolved(remote, "local/else:1") == short.digest)
            // Two that could be meant: none is.
            try layout.tag(named, "1")
            #expect(await kind { _ = try await resolved(remote, "local/else:1") } == .notFound)
        }
    }

    @Test func aDigestNamesAnyManifestThere() async throws {
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files)
        let image = try image(in: layout, "a")
        let index = try layout.add(index: [image.manifest])
        try layout.tag(index, "1")
        try await withRemote(configured(files.path)) { remote in
            let source = try remote.source(for: try repository("local", "app"))
            let found = try await source.resolve(.digest(image.manifest.digest))
            #expect(found.descriptor.mediaType == MediaType.manifest && found.descriptor.size == image.manifest.size)
            #expect(try await source.resolve(.digest(index.digest)).descriptor.mediaType == MediaType.index)
            #expect(Digest(of: try await source.manifest(image.manifest)) == image.manifest.digest)
            #expect(await kind { _ = try await source.resolve(.digest(image.layers[0].digest)) } == .wrongBytes)
            #expect(await kind { _ = try await source.resolve(.digest(Digest(of: [9]))) } == .notFound)
        }
    }

    @Test func partsOfBlobsAreExact() async throws {
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files)
        var random = SeededGenerator.named("partsOfBlobsAreExact")
        let bytes = random.bytes(1_000_000)
        let blob = try layout.add(blob: bytes, "x")
        try await withRemote(configured(files.path)) { remote in
            let source = try remote.source(for: try repository("local", "app"))
            let whole = await drain { () throws(RemoteError) in try await source.blob(blob, range: nil) }
            #expect(whole.error == nil && whole.bytes == bytes)
            for _ in 0..<20 {
                let start = Int.random(in: 0...bytes.count, using: &random)
                let end = Int.random(in: start...bytes.count, using: &random)
                let part = await drain { () throws(RemoteError) in try await source.blob(blob, range: UInt64(start)..<UInt64(end)) }
                #expect(part.error == nil && part.bytes == Array(bytes[start..<end]))
            }
            #expect(await kind { _ = try await source.blob(blob, range: 5..<1_000_001) } == .configuration)
        }
    }

    @Test func damageIsFoundOut() async throws {
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files)
        let image = try image(in: layout, "a")
        try layout.tag(image.manifest, "1")
        try await withRemote(configured(files.path)) { remote in
            let source = try remote.source(for: try repository("local", "app"))
            try files.write("blobs/sha256/\(image.layers[0].digest.hex)", "longer than it was")
            #expect(await kind { _ = try await source.blob(image.layers[0], range: nil) } == .wrongBytes)
            try files.write("blobs/sha256/\(image.manifest.digest.hex)", Array(repeating: UInt8(ascii: "x"), count: Int(image.manifest.size)))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .wrongBytes)
            #expect(await kind { _ = try await source.manifest(image.manifest) } == .wrongBytes)
            for index in ["", "[]", "{}", #"{"schemaVersion":2,"manifests":[],"layers":[]}"#] {
                try files.write("index.json", index)
                #expect(await kind { _ = try await source.resolve(.tag("1")) } == .wrongBytes, "\(index)")
            }
        }
    }

    @Test func aPlantedLinkLeadsNowhere() async throws {
        let outside = try TemporaryDirectory()
        let secret = Array("secret".utf8)
        let path = try outside.write("file", secret)
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files)
        let descriptor = try layout.add(blob: secret, "x")
        let name = files.path + "/blobs/sha256/" + descriptor.digest.hex
        unlink(name)
        #expect(symlink(path, name) == 0)
        try await withRemote(configured(files.path)) { remote in
            let source = try remote.source(for: try repository("local", "app"))
            let got = await drain { () throws(RemoteError) in try await source.blob(descriptor, range: nil) }
            #expect(got.error != nil && got.bytes.isEmpty)
        }
    }

    @Test func aDirectoryThatIsNoLayoutIsNotFound() async throws {
        let files = try TemporaryDirectory()
        for path in [files.path, files.path + "/absent"] {
            try await withRemote(configured(path)) { remote in
                #expect(await kind { _ = try await resolved(remote, "local/app:1") } == .notFound)
            }
        }
    }
}
