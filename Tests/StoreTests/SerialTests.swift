import Glibc
import LinuxIO
import OCI
import Store
import Testing

@Suite struct SerialTests {
    let scratch: ScratchStore
    let store: Store

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
    }

    @Test func serialsStayTheSame() throws {
        #expect(try store.serial(for: "layer:a") == 1)
        #expect(try store.serial(for: "layer:b") == 2)
        #expect(try store.serial(for: "layer:a") == 1)
        let again = try scratch.open()
        #expect(try again.serial(for: "layer:b") == 2)
        #expect(try again.serial(for: "layer:c") == 3)
        #expect(try store.key(ofSerial: 3) == "layer:c")
        #expect(try store.key(ofSerial: 0) == nil)
        #expect(try store.key(ofSerial: 4) == nil)
        #expect(try store.key(ofSerial: .max) == nil)
        #expect(try store.serialKeys() == ["layer:a", "layer:b", "layer:c"])
    }

    @Test(arguments: ["layer:half", "\0\0\0\0", "layer:b"])
    func aTornLineWasToldToNobody(tail: String) throws {
        _ = try store.serial(for: "layer:a")
        let file = try scratch.directory().open("trees/serials", O_WRONLY | O_APPEND)
        try file.write(Array(tail.utf8))
        let again = try scratch.open()
        #expect(try again.serialKeys() == ["layer:a"])
        #expect(try again.key(ofSerial: 2) == nil)
        #expect(try again.serial(for: "layer:b") == 2)
        #expect(try store.serial(for: "layer:b") == 2)
        #expect(try scratch.content("trees/serials") == Array("layer:a\nlayer:b\n".utf8))
    }

    @Test(arguments: ["", "two words", "line\nbreak", "\u{e9}", String(repeating: "x", count: 256)])
    func keysThatBreakTheFileAreRefused(key: String) throws {
        #expect(throws: StoreError.badKey(key)) { try store.serial(for: key) }
        #expect(throws: StoreError.badKey(key)) { _ = try store.lease(key) == nil }
    }

    @Test func aFileThatShrankIsNotWrittenOn() throws {
        _ = try store.serial(for: "layer:a")
        try scratch.write("trees/serials", "")
        #expect(throws: StoreError.self) { try store.serial(for: "layer:b") }
    }
}
