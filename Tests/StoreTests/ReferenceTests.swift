import LinuxIO
import OCI
import Store
import Testing

@Suite struct ReferenceTests {
    let scratch: ScratchStore
    let store: Store

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
    }

    private func descriptor(_ text: String) -> Descriptor {
        Descriptor(mediaType: MediaType.manifest, digest: Digest(ofText: text), size: UInt64(text.utf8.count), annotations: ["note": text])
    }

    private func reference(_ text: String) throws -> Reference { try #require(Reference(text)) }

    @Test func aReferenceIsSetMovedAndRemoved() throws {
        let alpine = try reference("docker.io/library/alpine:3.20")
        let other = try reference("localhost:5000/team/app@\(Digest(ofText: "x"))")
        try store.setReference(alpine, descriptor("one"))
        try store.setReference(other, descriptor("x"))
        try store.setReference(alpine, descriptor("two"))
        let references = try store.references()
        #expect(references.map(\.0) == [alpine, other])
        #expect(references.map(\.1.digest) == [Digest(ofText: "two"), Digest(ofText: "x")])
        #expect(references[0].1.annotations?["note"] == "two")
        #expect(try store.removeReference(alpine))
        #expect(try !store.removeReference(alpine))
        #expect(try store.references().map(\.0) == [other])
    }

    @Test func whatOthersWroteIsKept() throws {
        let digest = Digest(ofText: "theirs")
        try scratch.write("index.json", """
            {"schemaVersion":2,"x-vendor":{"deep":[1,2.5,true,null,"\\u00e9",-9007199254740993]},"manifests":[
              {"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\(digest)","size":6,"annotations":{"org.opencontainers.image.ref.name":"latest"},"x":1},
              {"mediaType":"future","digest":"sha512:00","size":-1}]}
            """)
        #expect(try store.references().isEmpty)
        try store.setReference(reference("a.example/b:c"), descriptor("mine"))
        #expect(try store.references().count == 1)
        try store.removeReference(reference("a.example/b:c"))
        let text = String(decoding: try #require(try scratch.content("index.json")), as: UTF8.self)
        #expect(text.contains(#""x-vendor":{"deep":[1,2.5,true,null,"\#u{e9}",-9007199254740993]}"#))
        #expect(text.contains(#""ref.name":"latest""#) || text.contains(#""org.opencontainers.image.ref.name":"latest""#))
        #expect(text.contains(#""digest":"sha512:00""#) && text.contains(#""x":1"#))
    }

    @Test(arguments: ["", "not json", "[]", #"{"manifests":7}"#, #"{"manifests":[}"#, String(repeating: "[", count: 100_000)])
    func aGarbledIndexIsToldAndNotDestroyed(text: String) throws {
        try scratch.write("index.json", text)
        #expect(throws: StoreError.self) { try store.references() }
        #expect(throws: StoreError.self) { try store.setReference(reference("a.example/b:c"), descriptor("x")) }
        #expect(throws: StoreError.self) { try store.removeReference(reference("a.example/b:c")) }
        #expect(try scratch.content("index.json") == Array(text.utf8))
        #expect(throws: Never.self) { try store.putBlob([1]) }
    }

    @Test func aMissingIndexIsMadeAnewOnOpening() throws {
        let digest = try store.putBlob([1])
        try scratch.directory().remove("index.json")
        #expect(throws: StoreError.self) { try store.references() }
        let again = try scratch.open()
        #expect(try again.references().isEmpty)
        #expect(again.hasBlob(digest))
    }

    @Test func anUnchangedReferenceIsNotWrittenAgain() throws {
        try store.setReference(reference("a.example/b:c"), descriptor("x"))
        let before = try scratch.directory().status("index.json").st_ino
        try store.setReference(reference("a.example/b:c"), descriptor("x"))
        #expect(try scratch.directory().status("index.json").st_ino == before)
    }
}
