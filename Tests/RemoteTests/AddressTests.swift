@testable import Remote
import Testing

struct AddressTests {
    @Test(arguments: [
        ("https://Registry.Example", "https://registry.example/"), ("http://a:80/x", "http://a/x"), ("https://a:443", "https://a/"), ("http://a:443/", "http://a:443/"),
        ("https://[::1]:5000/v2/?a=b#c", "https://[::1]:5000/v2/?a=b"), ("HTTPS://a?x", "https://a/?x"), ("https://a/\u{e9} \"", "https://a/%C3%A9%20%22"),
        ("https://a/%2F%zz", "https://a/%2F%zz"),
    ])
    func urlsAreRead(_ text: String, _ url: String) { #expect(Address(text)?.url == url) }

    @Test(arguments: ["", "a", "//a", "ftp://a", "https://", "https:///x", "https://u@a", "https://u:p@a/", "https://a:0", "https://a:65536", "https://a:b", "https://a b", "https://-a", "https://[::1", "file:///etc/passwd"])
    func whatIsNoURLIsRefused(_ text: String) { #expect(Address(text) == nil) }

    @Test(arguments: [
        ("https://b/y", "https://b/y"), ("//b/y", "https://b/y"), ("/y", "https://a:5000/y"), ("y?z", "https://a:5000/v2/y?z"), ("?z", "https://a:5000/v2/x?z"),
        ("y?u=http://c", "https://a:5000/v2/y?u=http://c"),
    ])
    func locationsAreResolved(_ location: String, _ url: String) {
        #expect(Address("https://a:5000/v2/x?q")?.resolving(location)?.url == url)
    }

    @Test(arguments: ["mailto:x", "ftp://a/x", "http://u:p@b/", "//u@b/", ""])
    func locationsThatLeadNowhereAreRefused(_ location: String) { #expect(Address("https://a/v2/x")?.resolving(location) == nil) }

    @Test(arguments: [
        ("localhost", true), ("localhost:5000", true), ("127.0.0.1", true), ("127.9.9.9:1", true), ("[::1]:80", true), ("x.localhost", true),
        ("127.evil.example", false), ("127.0.0.1.example", false), ("localhost.example", false), ("10.0.0.1", false), ("[::2]", false), ("notlocalhost", false),
    ])
    func loopbackIsTold(_ host: String, _ isLoopback: Bool) { #expect(Address("http://" + host)?.origin.isLoopback == isLoopback) }

    @Test func aDescriptionLeavesTheQueryOut() {
        #expect(Address("https://a/x?sig=secret").map { "\($0)" } == "https://a/x")
    }
}
