/* The script of the page: it shows values under the pointer, or those that the arrow keys choose. They come
 * from the tables of the page, which is readable without it. */
#include "page.h"

/* A box with values. box(figure) adds one; box.show(svg, x, lines) places it beside x, in units of the SVG.
 */
static const char boxes[] =
    "function values(table){\n"
    "  function texts(row){return [].map.call(row.cells,function(c){return c.textContent})}\n"
    "  var names=texts(table.tHead.rows[0]),rows=[].map.call(table.tBodies[0].rows,texts);\n"
    "  return {rows:rows,text:function(i){return names.map(function(n,k){return n+'  '+rows[i][k]})"
    ".join('\\n')}};\n"
    "}\n"
    "function addBox(figure){\n"
    "  var tip=document.createElement('div');\n"
    "  tip.className='tip';tip.hidden=true;tip.setAttribute('role','status');figure.appendChild(tip);\n"
    "  return {hide:function(){tip.hidden=true},show:function(svg,x,text){\n"
    "    var inner=svg.getBoundingClientRect(),outer=figure.getBoundingClientRect();\n"
    "    tip.textContent=text;tip.hidden=false;\n"
    "    var left=inner.left-outer.left+x*inner.width/svg.viewBox.baseVal.width+12;\n"
    "    if(left+tip.offsetWidth>outer.width)left=Math.max(0,left-24-tip.offsetWidth);\n"
    "    tip.style.left=left+'px';tip.style.top=(inner.top-outer.top+8)+'px';\n"
    "  }};\n"
    "}\n"
    "function listen(svg,point,key,hide){\n"
    "  function move(event){\n"
    "    var box=svg.getBoundingClientRect(),scale=svg.viewBox.baseVal.width/box.width;\n"
    "    point((event.clientX-box.left)*scale,(event.clientY-box.top)*scale);\n"
    "  }\n"
    "  svg.setAttribute('tabindex','0');\n"
    "  svg.addEventListener('pointermove',move);svg.addEventListener('pointerdown',move);\n"
    "  svg.addEventListener('pointerleave',hide);svg.addEventListener('blur',hide);\n"
    "  svg.addEventListener('keydown',function(event){\n"
    "    if(event.key==='Escape')hide();\n"
    "    if(key(event.key))event.preventDefault();\n"
    "  });\n"
    "}\n";

/* Charts: a vertical line at the values that are shown. */
static const char charts[] =
    "document.querySelectorAll('.chart').forEach(function(figure){\n"
    "  var svgs=figure.querySelectorAll('svg[data-axis]');if(!svgs.length)return;\n"
    "  var data=values(figure.querySelector('.values table')),box=addBox(figure);\n"
    "  var last=data.rows.length-1,xs=data.rows.map(function(r){return "
    "parseFloat(r[0].replace(/,/g,''))});\n"
    "  svgs.forEach(function(svg){\n"
    "    var axis=svg.dataset.axis.split(' ').map(Number),at=-1;\n"
    "    var cursor=document.createElementNS(svg.namespaceURI,'line');"
    "cursor.setAttribute('class','cursor');\n"
    "    function place(x){return axis[0]+(axis[1]-axis[0])*(x-axis[2])/(axis[3]-axis[2])}\n"
    "    function show(i){\n"
    "      if(last<0)return;\n"
    "      at=Math.max(0,Math.min(last,i));\n"
    "      var x=place(xs[at]);\n"
    "      cursor.setAttribute('x1',x);cursor.setAttribute('x2',x);cursor.setAttribute('y1',axis[4]);\n"
    "      cursor.setAttribute('y2',axis[5]);svg.appendChild(cursor);box.show(svg,x,data.text(at));\n"
    "    }\n"
    "    listen(svg,function(x){\n"
    "      var best=0;\n"
    "      xs.forEach(function(v,i){if(Math.abs(place(v)-x)<Math.abs(place(xs[best])-x))best=i});\n"
    "      show(best);\n"
    "    },function(key){\n"
    "      var to={ArrowLeft:at<0?last:at-1,ArrowRight:at+1,Home:0,End:last}[key];\n"
    "      if(to!==undefined)show(to);\n"
    "      return to!==undefined;\n"
    "    },function(){box.hide();cursor.remove()});\n"
    "  });\n"
    "});\n";

/* Figures of lines: the nearest line is shown on top. The last line has the first row of the table. */
static const char lines[] =
    "document.querySelectorAll('svg.lines').forEach(function(svg){\n"
    "  var data=values(document.querySelector('#lines table')),box=addBox(svg.closest('.chart'));\n"
    "  var paths=[].slice.call(svg.querySelectorAll('.trial')).reverse(),last=paths.length-1,at=-1,top;\n"
    "  var points=paths.map(function(p){return p.getAttribute('d').split(/[ML]/).slice(1)"
    ".map(function(t){return t.split(/[ h]/).map(Number)})});\n"
    "  function hide(){box.hide();if(top)top.remove();top=null;at=-1}\n"
    "  function show(i,x){\n"
    "    hide();at=Math.max(0,Math.min(last,i));\n"
    "    top=paths[at].cloneNode();top.classList.remove('trial');top.classList.add('on');"
    "svg.appendChild(top);\n"
    "    box.show(svg,x,data.text(at));\n"
    "  }\n"
    "  function distance(p,x,y){\n"
    "    var k=1;while(k<p.length-1&&p[k][0]<x)k++;\n"
    "    var a=p[k-1],b=p[k]||[a[0]+12,a[1]],share=(x-a[0])/(b[0]-a[0]);\n"
    "    if(share<-0.1||share>1.1)return 1e9;\n"
    "    return Math.abs(a[1]+(b[1]-a[1])*share-y);\n"
    "  }\n"
    "  listen(svg,function(x,y){\n"
    "    var near=0,found=points.map(function(p){return distance(p,x,y)});\n"
    "    found.forEach(function(d,i){if(d<found[near])near=i});\n"
    "    if(found[near]<25)show(near,x);else hide();\n"
    "  },function(key){\n"
    "    var to={ArrowDown:at+1,ArrowRight:at+1,ArrowUp:at-1,ArrowLeft:at-1,Home:0,End:last}[key];\n"
    "    if(to!==undefined)show(to,points[Math.max(0,Math.min(last,to))][0][0]);\n"
    "    return to!==undefined;\n"
    "  },hide);\n"
    "});\n";

void report_page_end(report_page *page) {
  report_print(page->out, "</main>\n<footer>Written by Lockstep %s.</footer>\n", LS_VERSION);
  report_print(page->out, "<script>\n%s%s%s</script>\n</body>\n</html>\n", boxes, charts, lines);
}
