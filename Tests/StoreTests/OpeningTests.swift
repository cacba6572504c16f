import Glibc
import LinuxIO
import OCI
import Store
import Testing

@Suite struct OpeningTests {
    let scratch: ScratchStore
    init() throws { scratch = try ScratchStore() }

    @Test func aNewStoreIsAnImageLayoutForItsOwnerAlone() throws {
        let store = try scratch.open()
        #expect(!store.isReadOnly)
        #expect(try scratch.directory().list() == ["blobs", "files", "index.json", "locks", "oci-layout", "quarantine", "spans", "tmp", "trees"])
        #expect(try scratch.base.status("store").st_mode & 0o7777 == 0o700)
        #expect(try store.references().isEmpty)
        #expect(store.freeSpace > 0)
    }

    @Test func whatIsNoStoreIsRefused() throws {
        #expect(throws: StoreError.missing(store: scratch.path)) { try scratch.open(create: false) }
        try scratch.base.makeDirectories("store")
        #expect(throws: StoreError.missing(store: scratch.path)) { try scratch.open(create: false) }
        try scratch.write("homework.txt", "dear diary")
        let error = try #require(throws: StoreError.self) { try scratch.open() }
        #expect(error.description.contains("homework.txt"))
        #expect(try scratch.directory().list() == ["homework.txt"])
    }

    @Test func anUnknownLayoutVersionIsRefused() throws {
        try scratch.base.makeDirectories("store")
        try scratch.write("oci-layout", #"{"imageLayoutVersion":"2.0.0"}"#)
        #expect(throws: StoreError.unsupportedLayout(path: scratch.path, version: "2.0.0")) { try scratch.open() }
        try scratch.write("oci-layout", "{}")
        #expect(throws: StoreError.self) { try scratch.open() }
    }

    @Test func aStoreThatWasHalfMadeIsFinished() throws {
        try scratch.base.makeDirectories("store/tmp")
        try scratch.write("tmp/new-1", "half a marker")
        let store = try scratch.open()
        #expect(try store.references().isEmpty)
        #expect(try scratch.names("tmp") == [".lock"])
    }

    @Test func temporaryFilesAreSweptOnlyByWhoIsAlone() throws {
        do {
            let first = try scratch.open()
            let file = try first.temporary("kept")
            try scratch.write("tmp/left-by-the-dead", "x")
            let second = try scratch.open()
            #expect(try scratch.names("tmp").count == 3, "the first is still here, and so is its file")
            withExtendedLifetime((file, first, second)) {}
        }
        #expect(try scratch.names("tmp") == [".lock", "left-by-the-dead"])
        #expect(try becomes {
            _ = try scratch.open()
            return try scratch.names("tmp") == [".lock"]
        })
    }

    @Test func anUnpublishedTemporaryFileGoesWithItsOwner() throws {
        let store = try scratch.open()
        do {
            let file = try store.temporary("blob")
            try file.write([1, 2, 3])
            #expect(try scratch.names("tmp").count == 2)
        }
        #expect(try scratch.names("tmp") == [".lock"])
    }

    @Test(.enabled(if: getuid() == 0, "needs root to become somebody else"))
    func aStoreOfSomebodyElseCanBeReadAndNotWritten() async throws {
        let digest = try scratch.open().putBlob(Array("shared".utf8))
        chmod(scratch.base.path, 0o755)
        chmod(scratch.path, 0o755)
        await #expect(processExitsWith: .success) { [path = scratch.path as String, hex = digest.hex as String] in
            guard setgid(65534) == 0, setuid(65534) == 0 else { fatalError("setuid") }
            let store = try Store(at: path, create: true, logger: .silent)
            let digest = try #require(Digest(hex: hex))
            #expect(store.isReadOnly)
            #expect(try store.blobBytes(digest, limit: 100) == Array("shared".utf8))
            #expect(try store.usage().blobs.count == 1)
            #expect(throws: StoreError.readOnly(store: path)) { try store.putBlob([1]) }
            #expect(throws: StoreError.readOnly(store: path)) { try store.temporary("x") }
            #expect(throws: StoreError.readOnly(store: path)) { try store.remove(.blob(digest)) }
            #expect(throws: StoreError.readOnly(store: path)) { try store.serial(for: "new") }
        }
    }

    @Test func theDefaultPathFollowsXDG() {
        #expect(Store.defaultPath(environment: ["XDG_DATA_HOME": "/data"], uid: 0) == "/var/lib/larder")
        #expect(Store.defaultPath(environment: ["XDG_DATA_HOME": "/data", "HOME": "/home/a"], uid: 1000) == "/data/larder")
        #expect(Store.defaultPath(environment: ["XDG_DATA_HOME": "data", "HOME": "/home/a"], uid: 1000) == "/home/a/.local/share/larder")
        #expect(Store.defaultPath(environment: [:], uid: 1000) == nil)
    }
}
