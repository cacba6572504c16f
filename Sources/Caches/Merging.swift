import Glibc
import LinuxIO

/// Brings what a private user added to an add-only cache into main.
enum Merging {
    static func atRelease(of lease: Lease, _ number: Int) throws(CacheError) {}
    static func afterAcquisition(of lease: Lease) throws(CacheError) {}
}
