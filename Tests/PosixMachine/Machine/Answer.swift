import CPosixMachine
import Glibc

/// What a worker says about an operation: text, in which the driver recognises inode numbers, times and process ids by
/// their braces and puts what is comparable in their place.
struct Answer {
    private(set) var bytes: [UInt8] = []

    init() {}
    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func add(_ text: String) {
        if !bytes.isEmpty { bytes.append(0x20) }
        bytes += Array(text.utf8)
    }

    /// The result of a call that gives -1 and errno.
    static func result(_ value: some BinaryInteger) -> Answer {
        value < 0 ? failure() : Answer("\(value)")
    }

    static func failure() -> Answer { Answer(errorName(errno)) }

    static func errorName(_ code: Int32) -> String {
        guard let name = pm_error_name(code) else { return "errno-\(code)" }
        return String(cString: name)
    }

    mutating func add(_ status: pm_status, full: Bool = true) {
        // Access times are left out: relatime and a kernel that keeps listings and links make them differ rightly.
        // Device numbers differ by what is compared.
        add("\(Text.octal(status.mode)) n\(status.links) u\(status.uid) g\(status.gid) s\(status.size) {i:\(status.inode):\(status.identity)}")
        if status.mode & UInt32(S_IFMT) == UInt32(S_IFCHR) { add("d\(status.device_major),\(status.device_minor)") }
        // Who writes into a fifo changes its times on a disk; to FUSE the kernel says nothing of it.
        if status.mode & UInt32(S_IFMT) == UInt32(S_IFIFO) { return }
        add("m{t:\(status.modified).\(status.modified_ns)}")
        if full { add("c{t:\(status.changed).\(status.changed_ns)} b{b:\(status.blocks)} z\(status.block_size)") }
    }

    /// Of whichever file `descriptor` is: it was stored into through memory.
    mutating func add(storedInto descriptor: Int32) {
        var status = pm_status()
        _ = pm_stat(descriptor, "", Worker.itself, &status)
        add("{s:\(status.inode):\(status.identity)}")
    }
}
