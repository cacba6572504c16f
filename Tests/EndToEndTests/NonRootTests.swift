import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Without root: fusermount3, no passthrough, one's own files.
    @Suite struct NonRootTests {
        @Test func anotherUserMountsReadsAndUnmounts() throws {
            let fixtures = try Fixtures.shared()
            let scratch = try TemporaryDirectory()
            let (home, mountPoint) = (try scratch.subdirectory("home"), try scratch.subdirectory("home/mount"))
            try Program.check(["install", "-m", "755", LarderCommand.binary, "\(scratch.path)/larder"])
            try Program.check(["cp", "-r", "\(fixtures.layouts)/small", "\(home)/small"])
            try Program.check(["chown", "-R", "65534:65534", home])
            try Program.check(["chmod", "755", scratch.path])
            let variables = LarderCommand.environment(home: home).map { "\($0.key)=\($0.value)" }
            func asNobody(_ words: String...) throws -> Program.Output {
                try Program.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i"] + variables + words)
            }
            let larder = "\(scratch.path)/larder"
            let mount = try asNobody(larder, "mount", "--layout", "local=\(home)", mountPoint)
            defer { umount2(mountPoint, Int32(MNT_DETACH)) }
            #expect(mount.status == 0, "\(mount.errors)")
            let hello = try asNobody("cat", "\(mountPoint)/images/local/small:gzip/rootfs/top/hello")
            #expect(hello.text == "hello from the top layer\n", "\(hello.errors)")
            #expect(try Files.exists("\(home)/.local/share/larder/oci-layout"), "the store is the user's own")
            // Not even root looks in without allow_other.
            #expect(try Program.run(["ls", mountPoint]).status != 0)
            let status = try asNobody(larder, "doctor")
            #expect(status.text.contains("passthrough"))
            #expect(try asNobody(larder, "umount", mountPoint).status == 0)
            #expect(try Program.check(["ls", mountPoint]).isEmpty)
        }
    }
}
