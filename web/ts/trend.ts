// A trend is drawn by the server as SVG; when it comes near, the same numbers become a chart that can be read with the pointer.
class Trend extends HTMLElement {
  connectedCallback() {
    const io = new IntersectionObserver((es) => {
      if (!es.some((x) => x.isIntersecting)) return;
      io.disconnect();
      void import("./plot").then((m) => m.draw(this));
    }, { rootMargin: "200px" });
    io.observe(this);
  }
}
customElements.define("trend-chart", Trend);
export {};
