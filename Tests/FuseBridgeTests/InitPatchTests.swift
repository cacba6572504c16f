import CLinux
import Testing

@testable import FuseBridge

@Suite struct InitPatchTests {
    private let all = larder_fuse_init_in(
        major: 7, minor: 45, max_readahead: 0, flags: .max, flags2: .max, unused: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    private let patch = InitPatch(wantsPassthrough: true, maxStackDepth: 1)

    /// linux/fuse.h: PARALLEL_DIROPS is bit 18, INIT_EXT 30, DIRECT_IO_ALLOW_MMAP 36, PASSTHROUGH 37, NO_EXPORT_SUPPORT 38.
    @Test func whatIsOfferedIsTaken() {
        var reply = larder_fuse_init_out()
        #expect(patch.apply(to: &reply, offered: all).passthrough)
        #expect(reply.flags == 1 << 18 | 1 << 30)
        #expect(reply.flags2 == 1 << (36 - 32) | 1 << (37 - 32) | 1 << (38 - 32))
        #expect(reply.max_stack_depth == 1)
    }

    /// HANDLE_KILLPRIV_V2 is bit 28.
    @Test func onlyAWritableMountTakesTheClearingOfSetIdBitsOver() {
        var writable = patch
        writable.isWritable = true
        var reply = larder_fuse_init_out()
        #expect(writable.apply(to: &reply, offered: all).passthrough)
        #expect(reply.flags == 1 << 18 | 1 << 28 | 1 << 30)
        var offered = all
        offered.flags = ~(1 << 28)
        reply = larder_fuse_init_out()
        #expect(writable.apply(to: &reply, offered: offered).passthrough)
        #expect(reply.flags & 1 << 28 == 0)
    }

    @Test func whatIsNotOfferedIsNotTaken() {
        for (flags, flags2, expected) in [(0, 0, 0), (0, UInt32.max, 0), (1 << 18, .max, 1 << 18)] as [(UInt32, UInt32, UInt32)] {
            var offered = all
            offered.flags = flags
            offered.flags2 = flags2
            var reply = larder_fuse_init_out()
            #expect(!patch.apply(to: &reply, offered: offered).passthrough)
            #expect(reply.flags == expected)
            #expect(reply.flags2 == 0)
            #expect(reply.max_stack_depth == 0)
        }
    }

    @Test func applyingItTwiceChangesNothing() {
        var once = larder_fuse_init_out()
        once.flags = 0x1234
        #expect(patch.apply(to: &once, offered: all).passthrough)
        var twice = once
        #expect(patch.apply(to: &twice, offered: all).passthrough)
        #expect(withUnsafeBytes(of: once) { Array($0) } == withUnsafeBytes(of: twice) { Array($0) })
    }

    @Test func passthroughIsLeftOutWhereTheKernelWouldIgnoreIt() {
        var reply = larder_fuse_init_out()
        reply.flags = 1 << 16
        #expect(!patch.apply(to: &reply, offered: all).passthrough, "writeback cache")
        for depth in [0, 3] as [UInt32] {
            var reply = larder_fuse_init_out()
            #expect(!InitPatch(wantsPassthrough: true, maxStackDepth: depth).apply(to: &reply, offered: all).passthrough)
            #expect(reply.flags2 & 1 << 5 == 0)
        }
    }

    /// OVER_IO_URING is bit 41, MAX_PAGES 22.
    @Test func ringsBoundWhatARequestHolds() {
        var wanting = patch
        wanting.wantsRings = true
        var reply = larder_fuse_init_out()
        reply.max_write = 1 << 20
        #expect(wanting.apply(to: &reply, offered: all).rings)
        #expect(reply.flags & 1 << 22 != 0 && reply.flags2 & 1 << (41 - 32) != 0)
        #expect(Int(reply.max_write) == InitPatch.ringPayload && Int(reply.max_pages) * 4096 == InitPatch.ringPayload)
        let once = reply
        #expect(wanting.apply(to: &reply, offered: all).rings)
        #expect(withUnsafeBytes(of: once) { Array($0) } == withUnsafeBytes(of: reply) { Array($0) })
    }

    @Test func ringsAreForWhoWantsThemAndIsOfferedThem() {
        var wanting = patch
        wanting.wantsRings = true
        var offered = all
        offered.flags2 &= ~(1 << (41 - 32))
        for (patch, offer) in [(patch, all), (wanting, offered)] {
            var reply = larder_fuse_init_out()
            reply.max_write = 1 << 20
            #expect(!patch.apply(to: &reply, offered: offer).rings)
            #expect(reply.flags & 1 << 22 == 0 && reply.flags2 & 1 << (41 - 32) == 0)
            #expect(reply.max_write == 1 << 20 && reply.max_pages == 0)
        }
    }
}
