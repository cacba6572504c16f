import Glibc
import LinuxIO
import OCI
import Store
import Testing

/// Any OCI tool reads what Larder wrote, without Larder (DESIGN tenet 8).
@Suite struct OtherToolsTests {
    let scratch: ScratchStore
    let store: Store
    let names = ["docker.io/library/tiny:1.0", "localhost:5000/team/app:latest"]

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
        // An empty tar archive is 1024 zero bytes.
        let layer = try store.putBlob([UInt8](repeating: 0, count: 1024))
        let config = Array(#"{"architecture":"amd64","os":"linux","config":{"Env":["WHO=larder"]},"rootfs":{"type":"layers","diff_ids":["\#(layer)"]}}"#.utf8)
        let configDigest = try store.putBlob(config)
        let manifest = Array("""
            {"schemaVersion":2,"mediaType":"\(MediaType.manifest)",
            "config":{"mediaType":"\(MediaType.config)","digest":"\(configDigest)","size":\(config.count)},
            "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"\(layer)","size":1024}]}
            """.utf8)
        let digest = try store.putBlob(manifest)
        for name in names {
            try store.setReference(try #require(Reference(name)), Descriptor(mediaType: MediaType.manifest, digest: digest, size: UInt64(manifest.count)))
        }
    }

    @Test(.enabled(if: Tool.isInstalled("skopeo"))) func skopeoReadsTheStore() throws {
        for name in names {
            let inspected = try Tool.run("skopeo", "inspect", "oci:\(scratch.path):\(name)")
            #expect(inspected.status == 0 && inspected.output.contains("WHO=larder"), "\(inspected.output)")
        }
        let copied = try Tool.run("skopeo", "copy", "--insecure-policy", "oci:\(scratch.path):\(names[0])", "oci:\(scratch.base.path)/copy:x")
        #expect(copied.status == 0, "\(copied.output)")
    }

    @Test(.enabled(if: Tool.isInstalled("umoci"))) func umociListsTheStore() throws {
        let listed = try Tool.run("umoci", "ls", "--layout", scratch.path)
        #expect(listed.output.split(separator: "\n").map(String.init).sorted() == names.sorted(), "\(listed.output)")
    }

    @Test(.enabled(if: Tool.isInstalled("skopeo"))) func whatSkopeoWritesIntoTheStoreIsKept() async throws {
        let path = scratch.path
        let copied = try Tool.run("skopeo", "copy", "--insecure-policy", "oci:\(path):\(names[0])", "oci:\(path):host.example/copied:2")
        #expect(copied.status == 0, "\(copied.output)")
        #expect(try store.references().map(\.0.description).sorted() == (names + ["host.example/copied:2"]).sorted())
        try store.removeReference(try #require(Reference(names[0])))
        #expect(try store.references().count == 2)
        #expect(try await store.verify(repair: false).findings == [])
    }
}
